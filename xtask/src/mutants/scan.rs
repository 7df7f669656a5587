use std::ops::Range;

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, BinOp, Block, Expr, ExprIf, ExprMatch, ImplItemFn, Item, ItemFn, ItemImpl,
    ItemTrait, Pat, Signature, Stmt, TraitItemFn, Type,
};

use super::operators;
use super::rewrite::{ConstFn, Event, Form, Group, Sites};
use super::site::{Kind, Site};

/// Finds the sites of a file; the first one gets the number `first`.
///
/// # Errors
///
/// If the text is no Rust.
pub(super) fn scan(file: &str, text: &str, first: u32) -> Result<Sites> {
    let parsed = syn::parse_file(text).with_context(|| format!("{file} does not parse"))?;
    let mut scan = Scan {
        file,
        text,
        first,
        found: Sites::default(),
        of_type: String::new(),
        function: None,
        const_fn: None,
    };
    scan.visit_file(&parsed);
    Ok(scan.found)
}

struct Scan<'a> {
    file: &'a str,
    text: &'a str,
    first: u32,
    found: Sites,
    of_type: String,
    function: Option<String>,
    const_fn: Option<usize>,
}

/// What an expression is to the one around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Any,
    /// A condition, which is taken for `true` and for `false` already.
    Condition,
    /// In a chain of conditions, some with a `let`.
    Chain,
}

impl Scan<'_> {
    fn range(&self, node: &impl Spanned) -> Range<usize> {
        node.span().byte_range()
    }

    fn plain(&self, node: &impl Spanned) -> &str {
        operators::plain(self.text, node)
    }

    /// Enters a group with these variants, each with what it changes; returns it if it has any.
    fn group(
        &mut self,
        node: &impl Spanned,
        form: Form,
        variants: Vec<(String, String)>,
    ) -> Option<usize> {
        let function = self.function.clone()?;
        if variants.is_empty() {
            return None;
        }
        let kind = match form {
            Form::Watch | Form::WatchExpression | Form::WatchElse => Kind::Branch,
            _ => Kind::Mutant,
        };
        let start = node.span().start();
        let mut entered = Vec::new();
        for (what, text) in variants {
            let index = self.found.sites.len();
            self.found.sites.push(Site {
                number: self.first + index as u32,
                file: self.file.to_owned(),
                line: start.line,
                column: start.column + 1,
                function: function.clone(),
                kind,
                what,
            });
            entered.push((index, text));
        }
        self.found.groups.push(Group {
            form,
            variants: entered,
            const_fn: self.const_fn,
        });
        Some(self.found.groups.len() - 1)
    }

    fn event(&mut self, at: usize, event: Event) {
        self.found.events.push((at, event));
    }

    /// Lets a group stand around a node while `walk` goes on within.
    fn around(
        &mut self,
        node: &impl Spanned,
        form: Form,
        variants: Vec<(String, String)>,
        walk: impl FnOnce(&mut Self),
    ) {
        let range = self.range(node);
        let group = self.group(node, form, variants);
        if let Some(group) = group {
            self.event(range.start, Event::Open(group));
        }
        walk(self);
        if let Some(group) = group {
            self.event(range.end, Event::Close(group));
        }
    }

    /// Writes something at one place.
    fn insert(
        &mut self,
        at: usize,
        node: &impl Spanned,
        form: Form,
        variants: Vec<(String, String)>,
    ) {
        if let Some(group) = self.group(node, form, variants) {
            self.event(at, Event::Open(group));
        }
    }

    fn watch(&mut self, block: &Block, what: &str, of: &impl Spanned) {
        let inside = self.range(&block.brace_token.span.open()).end;
        let what = format!("{what} `{}`", operators::short(self.plain(of)));
        self.insert(inside, block, Form::Watch, one(&what, ""));
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        let name = match self.of_type.as_str() {
            "" => signature.ident.to_string(),
            of_type => format!("{of_type}::{}", signature.ident),
        };
        let outer = (self.function.replace(name), self.const_fn.take());
        if let Some(constness) = &signature.constness {
            let range = self.range(constness);
            let name = signature.ident.to_string();
            self.found.consts.push(ConstFn { name });
            let index = self.found.consts.len() - 1;
            self.const_fn = Some(index);
            self.event(range.start, Event::ConstOpen(index));
            self.event(range.end, Event::ConstClose(index));
        }
        let inside = self.range(&block.brace_token.span.open()).end;
        if !block.stmts.is_empty() {
            let group = self.group(&signature.ident, Form::Watch, one("the function", ""));
            if let Some(group) = group {
                let site = self.found.groups[group].variants[0].0;
                self.found.sites[site].kind = Kind::Function;
                self.event(inside, Event::Open(group));
            }
            let returns = operators::returns(signature);
            self.insert(inside, &signature.ident, Form::Entry, returns);
        }
        self.visit_block(block);
        (self.function, self.const_fn) = outer;
    }

    /// A condition of an `if`, a `while` or an arm.
    fn condition(&mut self, condition: &Expr, values: &[&str]) {
        if has_let(condition) {
            let never = one("a condition is never met", "false");
            self.around(condition, Form::Unless, never, |scan| {
                scan.expression(condition, Place::Chain);
            });
            return;
        }
        let variants = if is_planted_only(self.plain(condition)) {
            Vec::new()
        } else {
            values
                .iter()
                .map(|value| (format!("a condition becomes {value}"), (*value).to_owned()))
                .collect()
        };
        self.around(condition, Form::Condition, variants, |scan| {
            scan.expression(condition, Place::Condition);
        });
    }

    fn expression(&mut self, expression: &Expr, place: Place) {
        if is_absent(attributes(expression)) {
            return;
        }
        if place == Place::Chain {
            match expression {
                Expr::Binary(chain) if has_let(expression) => {
                    self.expression(&chain.left, Place::Chain);
                    self.expression(&chain.right, Place::Chain);
                }
                Expr::Let(it) => self.expression(&it.expr, Place::Any),
                other => self.condition(other, &["true"]),
            }
            return;
        }
        let is_condition = place == Place::Condition;
        let variants = operators::of_expression(self.text, expression, is_condition);
        self.around(expression, Form::Expression, variants, |scan| {
            scan.parts(expression);
        });
    }

    fn parts(&mut self, expression: &Expr) {
        match expression {
            Expr::If(it) => self.conditional(it),
            Expr::While(it) => {
                self.condition(&it.cond, &["false"]);
                self.watch(&it.body, "the body of while", &it.cond);
                self.visit_block(&it.body);
            }
            Expr::ForLoop(it) => {
                self.expression(&it.expr, Place::Any);
                self.watch(&it.body, "the body of for", &it.expr);
                self.visit_block(&it.body);
            }
            Expr::Match(it) => self.choice(it),
            Expr::Repeat(it) => self.expression(&it.expr, Place::Any),
            Expr::Const(_) => {}
            Expr::Closure(it) => self.expression(&it.body, Place::Any),
            other => visit::visit_expr(self, other),
        }
    }

    fn conditional(&mut self, it: &ExprIf) {
        self.condition(&it.cond, &["true", "false"]);
        if !is_planted_only(self.plain(&it.cond)) {
            self.watch(&it.then_branch, "if", &it.cond);
            self.visit_block(&it.then_branch);
        }
        match &it.else_branch {
            None => {
                let end = self.range(it).end;
                let condition = operators::short(self.plain(&it.cond));
                let way = one(&format!("not if `{condition}`"), "");
                self.insert(end, it, Form::WatchElse, way);
            }
            Some((_, other)) => {
                if let Expr::Block(other) = &**other {
                    self.watch(&other.block, "else of", &it.cond);
                }
                self.expression(other, Place::Any);
            }
        }
    }

    fn choice(&mut self, it: &ExprMatch) {
        self.expression(&it.expr, Place::Any);
        for (index, arm) in it.arms.iter().enumerate() {
            if is_absent(&arm.attrs) {
                continue;
            }
            let mut later = it.arms[index + 1..].iter();
            match &arm.guard {
                Some((_, guard)) => self.condition(guard, &["true", "false"]),
                None if later.any(|arm| arm.guard.is_none() && takes_all(&arm.pat)) => {
                    let end = self.range(&arm.pat).end;
                    let never = one("an arm is never taken", "");
                    self.insert(end, &arm.pat, Form::Guard, never);
                }
                None => {}
            }
            match &*arm.body {
                Expr::Block(body) if body.label.is_none() && body.attrs.is_empty() => {
                    self.watch(&body.block, "the arm", &arm.pat);
                    self.visit_block(&body.block);
                }
                Expr::Macro(_) => {}
                body => {
                    let pattern = operators::short(self.plain(&arm.pat));
                    let watch = one(&format!("the arm `{pattern}`"), "");
                    self.around(body, Form::WatchExpression, watch, |scan| {
                        scan.expression(body, Place::Any);
                    });
                }
            }
        }
    }

    fn statement(&mut self, statement: &Stmt, expression: &Expr) {
        let variants = operators::of_statement(self.text, expression);
        let is_compound = operators::is_compound(expression);
        self.around(
            statement,
            Form::Statement,
            variants,
            |scan| match expression {
                Expr::Binary(it) if is_compound => {
                    scan.expression(&it.left, Place::Any);
                    scan.expression(&it.right, Place::Any);
                }
                other => scan.expression(other, Place::Any),
            },
        );
    }
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_absent(item_attributes(item)) {
            visit::visit_item(self, item);
        } else if let Item::Mod(it) = item {
            self.found.absent.push(it.ident.to_string());
        }
    }

    fn visit_item_fn(&mut self, it: &'ast ItemFn) {
        let of_type = std::mem::take(&mut self.of_type);
        self.function(&it.sig, &it.block);
        self.of_type = of_type;
    }

    fn visit_item_impl(&mut self, it: &'ast ItemImpl) {
        let of_trait = it
            .trait_
            .as_ref()
            .and_then(|(_, path, _)| path.segments.last());
        if of_trait.is_some_and(|it| it.ident == "Debug") {
            return;
        }
        let name = match &*it.self_ty {
            Type::Path(path) => path.path.segments.last().map(|it| it.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.of_type, name.unwrap_or_default());
        visit::visit_item_impl(self, it);
        self.of_type = outer;
    }

    fn visit_item_trait(&mut self, it: &'ast ItemTrait) {
        let outer = std::mem::replace(&mut self.of_type, it.ident.to_string());
        visit::visit_item_trait(self, it);
        self.of_type = outer;
    }

    fn visit_impl_item_fn(&mut self, it: &'ast ImplItemFn) {
        if !is_absent(&it.attrs) {
            self.function(&it.sig, &it.block);
        }
    }

    fn visit_trait_item_fn(&mut self, it: &'ast TraitItemFn) {
        if let Some(block) = &it.default
            && !is_absent(&it.attrs)
        {
            self.function(&it.sig, block);
        }
    }

    fn visit_stmt(&mut self, it: &'ast Stmt) {
        match it {
            Stmt::Local(local) => {
                if is_absent(&local.attrs) {
                    return;
                }
                let Some(init) = &local.init else { return };
                self.expression(&init.expr, Place::Any);
                if let Some((_, other)) = &init.diverge {
                    if let Expr::Block(other) = &**other {
                        self.watch(&other.block, "else of let", &local.pat);
                    }
                    self.expression(other, Place::Any);
                }
            }
            Stmt::Expr(expression, Some(_)) if !is_absent(attributes(expression)) => {
                self.statement(it, expression);
            }
            Stmt::Expr(expression, _) => self.expression(expression, Place::Any),
            Stmt::Item(item) => self.visit_item(item),
            Stmt::Macro(_) => {}
        }
    }

    fn visit_expr(&mut self, it: &'ast Expr) {
        self.expression(it, Place::Any);
    }

    // What a compiler knows before anything runs cannot be chosen when it runs.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}
    fn visit_generics(&mut self, _: &'ast syn::Generics) {}
    fn visit_angle_bracketed_generic_arguments(
        &mut self,
        _: &'ast syn::AngleBracketedGenericArguments,
    ) {
    }
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
}

fn one(what: &str, text: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), text.to_owned())]
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(it) if matches!(it.op, BinOp::And(_)) => {
            has_let(&it.left) || has_let(&it.right)
        }
        _ => false,
    }
}

/// A condition that is met in the simulation alone, where a bug is planted.
fn is_planted_only(condition: &str) -> bool {
    let condition = condition.trim_start_matches('!');
    condition.starts_with("planted!(") && condition.find(')') == Some(condition.len() - 1)
}

fn takes_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        Pat::Ident(it) => {
            let name = it.ident.to_string();
            it.subpat.is_none() && name.starts_with(|first: char| first.is_lowercase())
        }
        _ => false,
    }
}

/// Whether it is in no build but the tests' or the simulation's.
fn is_absent(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let cfg = || match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        path.is_ident("test")
            || path.is_ident("cfg") && ["test", "madsim"].iter().any(|it| cfg().contains(it))
    })
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        _ => &[],
    }
}

fn attributes(expression: &Expr) -> &[Attribute] {
    match expression {
        Expr::Block(it) => &it.attrs,
        Expr::Call(it) => &it.attrs,
        Expr::If(it) => &it.attrs,
        Expr::MethodCall(it) => &it.attrs,
        Expr::Assign(it) => &it.attrs,
        Expr::Match(it) => &it.attrs,
        _ => &[],
    }
}
