//! What is put in the place of what: texts alone.

use syn::spanned::Spanned;
use syn::{
    BinOp, Expr, ExprBinary, ExprMethodCall, ExprPath, ExprRange, GenericArgument, Lit, LitInt,
    Path, PathArguments, RangeLimits, ReturnType, Signature, Type, UnOp,
};

/// What is changed, and the text that takes the place.
pub(super) type Variant = (String, String);

/// The text of a node.
pub(super) fn plain<'a>(text: &'a str, node: &impl Spanned) -> &'a str {
    &text[node.span().byte_range()]
}

/// What may be in the place of an expression. A condition is taken for `true` and `false` anyway.
pub(super) fn of_expression(text: &str, expression: &Expr, is_condition: bool) -> Vec<Variant> {
    match expression {
        Expr::Binary(it) => of_binary(text, it, is_condition),
        Expr::Unary(it) => match it.op {
            UnOp::Not(_) if is_condition => Vec::new(),
            UnOp::Not(_) | UnOp::Neg(_) if !matches!(&*it.expr, Expr::Lit(_)) => {
                let inner = plain(text, &it.expr);
                vec![(
                    format!("`{}` goes", &plain(text, it)[..1]),
                    inner.to_owned(),
                )]
            }
            _ => Vec::new(),
        },
        Expr::Lit(it) => match &it.lit {
            Lit::Int(number) => of_number(number),
            Lit::Bool(value) => vec![replaced(
                &value.value.to_string(),
                &(!value.value).to_string(),
            )],
            _ => Vec::new(),
        },
        Expr::Path(it) => of_constant(text, it),
        Expr::MethodCall(it) => of_method(text, it),
        Expr::Range(it) => of_range(text, it),
        _ => Vec::new(),
    }
}

/// What may be in the place of a statement; an empty text leaves it out.
pub(super) fn of_statement(text: &str, expression: &Expr) -> Vec<Variant> {
    let whole = plain(text, expression);
    let mut variants = match expression {
        Expr::Call(_) | Expr::MethodCall(_) | Expr::Assign(_) | Expr::Try(_) | Expr::Await(_) => {
            vec![(format!("`{}` goes", short(whole)), String::new())]
        }
        Expr::Binary(it) if is_compound(expression) => {
            let mut swapped = of_binary(text, it, false);
            swapped.iter_mut().for_each(|(_, text)| text.push(';'));
            swapped.push((format!("`{}` goes", short(whole)), String::new()));
            swapped
        }
        _ => Vec::new(),
    };
    variants.retain(|_| !whole.contains("planted!("));
    variants
}

/// Whether it is one like `+=`.
pub(super) fn is_compound(expression: &Expr) -> bool {
    use BinOp::{
        AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, RemAssign,
        ShlAssign, ShrAssign, SubAssign,
    };
    let Expr::Binary(it) = expression else {
        return false;
    };
    matches!(
        it.op,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | BitXorAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}

/// What a function may return at once, by its type.
pub(super) fn returns(signature: &Signature) -> Vec<Variant> {
    let name = signature.ident.to_string();
    if ["new", "default"].contains(&name.as_str()) {
        return Vec::new();
    }
    let values = match &signature.output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, of) => values(of),
    };
    let variant = |value: String| (format!("returns {value:?} at once"), value);
    values.into_iter().map(variant).collect()
}

fn values(of: &Type) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|&it| it.to_owned()).collect();
    match of {
        Type::Tuple(it) if it.elems.is_empty() => texts(&["()"]),
        Type::Tuple(_) => texts(&["Default::default()"]),
        Type::Path(it) => of_path(&it.path),
        _ => Vec::new(),
    }
}

fn of_path(path: &Path) -> Vec<String> {
    let Some(last) = path.segments.last() else {
        return Vec::new();
    };
    let texts = |texts: &[&str]| texts.iter().map(|&it| it.to_owned()).collect();
    match last.ident.to_string().as_str() {
        "Self" | "Pin" | "Box" | "Arc" => Vec::new(),
        "bool" => texts(&["true", "false"]),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128"
        | "isize" => texts(&["0", "1"]),
        "Option" => texts(&["None"]),
        "Result" => {
            let inner = first_argument(&last.arguments).map(values);
            let inner = inner.unwrap_or_else(|| vec!["()".to_owned()]);
            inner.into_iter().map(|it| format!("Ok({it})")).collect()
        }
        _ => texts(&["Default::default()"]),
    }
}

fn first_argument(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(list) = arguments else {
        return None;
    };
    list.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(it) => Some(it),
        _ => None,
    })
}

fn of_binary(text: &str, it: &ExprBinary, is_condition: bool) -> Vec<Variant> {
    let (left, right) = (plain(text, &it.left), plain(text, &it.right));
    let op = plain(text, &it.op);
    if matches!(it.op, BinOp::And(_) | BinOp::Or(_)) {
        // Either side alone is told from the whole by more than the other operator is.
        let sides = [(left, right), (right, left)];
        let kept = sides
            .into_iter()
            .filter(|(_, gone)| !gone.contains("planted!("));
        return kept
            .map(|(kept, gone)| (format!("`{op} {}` goes", short(gone)), kept.to_owned()))
            .collect();
    }
    let others: &[&str] = match op {
        "<" if is_condition => &["<="],
        "<=" if is_condition => &["<"],
        ">" if is_condition => &[">="],
        ">=" if is_condition => &[">"],
        "==" | "!=" if is_condition => &[],
        "<" => &["<=", ">="],
        "<=" => &["<", ">"],
        ">" => &[">=", "<="],
        ">=" => &[">", "<"],
        "==" => &["!="],
        "!=" => &["=="],
        "+" => &["-"],
        "-" => &["+"],
        "*" => &["/"],
        "/" => &["*"],
        "%" => &["/"],
        "&" => &["|"],
        "|" => &["&"],
        "^" => &["|"],
        "<<" => &[">>"],
        ">>" => &["<<"],
        "+=" => &["-="],
        "-=" => &["+="],
        "*=" => &["/="],
        "/=" => &["*="],
        "|=" => &["&="],
        "&=" => &["|="],
        "^=" => &["|="],
        "<<=" => &[">>="],
        ">>=" => &["<<="],
        _ => &[],
    };
    let is_assigned = is_compound(&Expr::Binary(it.clone()));
    let with = |other: &&str| {
        let (what, _) = replaced(op, other);
        let text = if is_assigned {
            format!("{left} {other} {right}")
        } else {
            format!("({left}) {other} ({right})")
        };
        (what, text)
    };
    others.iter().map(with).collect()
}

// Small numbers are off by one, large ones by half.
fn of_number(number: &LitInt) -> Vec<Variant> {
    let Ok(value) = number.base10_parse::<u128>() else {
        return Vec::new();
    };
    let others = match value {
        0 => vec![1],
        1..=8 => vec![value + 1, value - 1],
        _ => vec![value.saturating_mul(2), value / 2],
    };
    let suffix = number.suffix();
    let with = |other: u128| replaced(&number.to_string(), &format!("{other}{suffix}"));
    others.into_iter().map(with).collect()
}

// A constant is known before anything runs: it is changed where it is used.
fn of_constant(text: &str, it: &ExprPath) -> Vec<Variant> {
    let Some(last) = it.path.segments.last() else {
        return Vec::new();
    };
    let name = last.ident.to_string();
    let is_constant = name.len() > 1 && !name.contains(|it: char| it.is_lowercase());
    if !is_constant || ["MAX", "MIN", "ZERO", "EMPTY"].contains(&name.as_str()) {
        return Vec::new();
    }
    let whole = plain(text, it);
    let with = |factor: &str| {
        (
            format!("`{name}` becomes `{name} {factor}`"),
            format!("{whole} {factor}"),
        )
    };
    vec![with("* 2"), with("/ 2")]
}

const PAIRS: [(&str, &str); 12] = [
    ("min", "max"),
    ("is_some", "is_none"),
    ("is_ok", "is_err"),
    ("is_some_and", "is_none_or"),
    ("any", "all"),
    ("first", "last"),
    ("pop_front", "pop_back"),
    ("push_front", "push_back"),
    ("saturating_add", "saturating_sub"),
    ("wrapping_add", "wrapping_sub"),
    ("checked_add", "checked_sub"),
    ("floor", "ceil"),
];

fn of_method(text: &str, it: &ExprMethodCall) -> Vec<Variant> {
    let name = it.method.to_string();
    let other = PAIRS.iter().find_map(|&(one, other)| match name.as_str() {
        it if it == one => Some(other),
        it if it == other => Some(one),
        _ => None,
    });
    let (receiver, whole) = (plain(text, &it.receiver), plain(text, it));
    let Some(other) = other else {
        return Vec::new();
    };
    let after = it.method.span().byte_range().end - it.span().byte_range().start;
    let text = format!("{receiver}.{other}{}", &whole[after..]);
    vec![(replaced(&name, other).0, text)]
}

fn of_range(text: &str, it: &ExprRange) -> Vec<Variant> {
    let Some(end) = &it.end else {
        return Vec::new();
    };
    if matches!(&**end, Expr::Lit(_)) {
        return Vec::new();
    }
    let start = it.start.as_ref().map_or("", |start| plain(text, start));
    let op = match it.limits {
        RangeLimits::HalfOpen(_) => "..",
        RangeLimits::Closed(_) => "..=",
    };
    let end = plain(text, end);
    ["+ 1", "- 1"]
        .into_iter()
        .map(|by| {
            let what = format!("the end of a range becomes `{} {by}`", short(end));
            (what, format!("{start}{op}({end}) {by}"))
        })
        .collect()
}

fn replaced(one: &str, other: &str) -> Variant {
    (format!("`{one}` becomes `{other}`"), other.to_owned())
}

/// The text on one line, and not too much of it.
pub(super) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

const LONGEST: usize = 50;
