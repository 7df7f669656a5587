use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::rewrite::{Dropped, Sites};
use super::scan::scan;
use super::site::{Kind, Site};

fn sites_of(text: &str) -> Sites {
    scan("a.rs", text, 1).expect("it parses")
}

fn mutants_of(body: &str) -> Vec<String> {
    let text = format!("fn f() -> &'static str {{ {body} }}");
    let sites = sites_of(&text).sites;
    let mutants = sites.iter().filter(|site| site.is_mutant());
    mutants.map(|site| site.what.clone()).collect()
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    assert_eq!(mutants_of(body), expected, "{body}");
}

#[test]
fn each_operator_has_its_mutants() {
    check("a < b", &["`<` becomes `<=`", "`<` becomes `>=`"]);
    check("a == b", &["`==` becomes `!=`"]);
    check("a + b", &["`+` becomes `-`"]);
    check("a && b", &["`&& b` goes", "`&& a` goes"]);
    check("!a", &["`!` goes"]);
    check("5", &["`5` becomes `6`", "`5` becomes `4`"]);
    check("0u8", &["`0u8` becomes `1u8`"]);
    check("256", &["`256` becomes `512`", "`256` becomes `128`"]);
    check("true", &["`true` becomes `false`"]);
    check(
        "LIMIT",
        &["`LIMIT` becomes `LIMIT * 2`", "`LIMIT` becomes `LIMIT / 2`"],
    );
    check("a.min(b)", &["`min` becomes `max`"]);
    check(
        "&a[b..c]",
        &[
            "the end of a range becomes `c + 1`",
            "the end of a range becomes `c - 1`",
        ],
    );
    check("a.f(); b", &["`a.f()` goes"]);
    check("a = b; c", &["`a = b` goes"]);
    check("a += b; c", &["`+=` becomes `-=`", "`a += b` goes"]);
}

#[test]
fn conditions_are_taken_for_true_and_false() {
    let either = ["a condition becomes true", "a condition becomes false"];
    check("if a { b } else { c }", &either);
    check("if !a { b } else { c }", &either);
    check(
        "if a < b { c } else { d }",
        &[either[0], either[1], "`<` becomes `<=`"],
    );
    check("while a { } b", &[either[1]]);
    check(
        "if let A(b) = c { d } else { e }",
        &["a condition is never met"],
    );
    check(
        "if let A(b) = c && d { e } else { f }",
        &["a condition is never met", "a condition becomes true"],
    );
    check("match a { B => c, _ => d }", &["an arm is never taken"]);
    check("match a { B if c => d, _ => e }", &either);
    check("match a { B => c, C => d }", &[]);
}

#[test]
fn functions_return_at_once() {
    let returns = |signature: &str| {
        let sites = sites_of(&format!("fn f() {signature} {{ a }}")).sites;
        let mutants = sites.into_iter().filter(Site::is_mutant);
        mutants.map(|site| site.what).collect::<Vec<_>>()
    };
    assert_eq!(returns(""), ["returns \"\" at once"]);
    assert_eq!(
        returns("-> bool"),
        ["returns \"true\" at once", "returns \"false\" at once"]
    );
    assert_eq!(returns("-> Option<u8>"), ["returns \"None\" at once"]);
    assert_eq!(returns("-> Result<(), A>"), ["returns \"Ok(())\" at once"]);
    assert_eq!(
        returns("-> Vec<A>"),
        ["returns \"Default::default()\" at once"]
    );
    assert_eq!(returns("-> &A"), [""; 0]);
}

#[test]
fn what_is_no_code_of_the_lessor_has_none() {
    for text in [
        "const A: u8 = 1 + 2;",
        "static A: [u8; 3] = [1; 3];",
        "#[cfg(test)] mod tests { fn f() { a(); } }",
        "#[cfg(all(madsim, feature = \"std\"))] fn f() { a(); }",
        "impl Debug for A { fn fmt(&self) -> bool { a < b } }",
        "enum A { B = 1 + 2 }",
        "/// A doc.\nstruct A { b: [u8; 3] }",
    ] {
        assert_eq!(sites_of(text).sites, [], "{text}");
    }
    check("assert!(a < b); c", &[]);
    check("match a { 1 => b, 2..5 => c }", &[]);
    check("if planted!(\"it\") { a() } b", &[]);
    check(
        "if planted!(\"it\") || a { b } else { c }",
        &[
            "a condition becomes true",
            "a condition becomes false",
            "`|| a` goes",
        ],
    );
}

#[test]
fn modules_of_tests_in_files_are_named() {
    let text = "#[cfg(test)]\nmod model;\nmod code;\n";
    assert_eq!(sites_of(text).absent, ["model"]);
}

#[test]
fn what_is_left_out_leaves_no_trace() {
    let sites = sites_of(PROGRAM);
    let nothing = Dropped::default();
    let numbers: BTreeSet<u32> = sites.sites.iter().map(|site| site.number).collect();
    assert_eq!(sites.live(&nothing).count(), numbers.len());
    let all = Dropped {
        sites: numbers,
        consts: BTreeSet::from(["half".to_owned()]),
    };
    assert_eq!(sites.rewrite(PROGRAM, &all).text, PROGRAM);
    assert_eq!(sites.live(&all).count(), 0);
}

#[test]
fn an_error_is_the_fault_of_the_innermost_one() {
    let text = "fn f(a: u8, b: u8) -> u8 { g(a + 1) + b }";
    let sites = sites_of(text);
    let rewritten = sites.rewrite(text, &Dropped::default());
    let blamed = |what: &str| {
        let at = rewritten.text.find(what).expect("it is there");
        rewritten.blame(&(at..at + what.len()))
    };
    let number = |what: &str| {
        let of_it = sites.sites.iter().filter(|site| site.what == what);
        of_it.map(|site| site.number).collect::<Vec<_>>()
    };
    let minus = number("`+` becomes `-`");
    assert_eq!(blamed("(g(a + 1)) - (b)"), [minus[0]]);
    assert_eq!(blamed("(a) - (1)"), [minus[1]]);
    assert_eq!(
        blamed("{ 1 }"),
        [number("`1` becomes `2`"), number("`1` becomes `0`")].concat()
    );
    assert_eq!(blamed("g("), [minus[0]]);
    assert_eq!(blamed("fn f"), [0; 0]);
}

/// Whatever is changed here changes what is printed.
const PROGRAM: &str = r#"
const LIMIT: u32 = 8;

fn less(a: u32, b: u32) -> bool {
    a < b
}

fn both(a: bool, b: bool) -> bool {
    a && b
}

const fn half(a: u32) -> u32 {
    a / 2
}

fn bounded(a: u32) -> u32 {
    a.min(LIMIT)
}

fn kind(a: Option<u32>) -> &'static str {
    match a {
        Some(few) if few < 3 => "few",
        Some(_) => "many",
        None => "none",
    }
}

fn name(a: u32) -> &'static str {
    match a {
        1 => "one",
        _ => "other",
    }
}

fn sum(of: &[u32]) -> u32 {
    let mut sum = 0;
    for one in of {
        if !less(*one, 2) {
            sum += one;
        }
    }
    sum
}

fn first(of: &mut Vec<u32>) -> Option<u32> {
    if let Some(first) = of.first().copied() && first > 1 {
        of.clear();
        return Some(first);
    }
    None
}

fn print(line: String) {
    println!("{line}");
}

fn main() {
    let mut line = String::new();
    line.push_str(&format!("{} {} {} ", less(1, 2), less(2, 2), less(2, 1)));
    line.push_str(&format!("{} {} {} ", both(true, true), both(true, false), both(false, true)));
    line.push_str(&format!("{} {} {} ", half(6), bounded(7), bounded(9)));
    line.push_str(&format!("{} {} ", bounded(100), bounded(5)));
    line.push_str(&format!("{} {} {} {} ", kind(Some(2)), kind(Some(3)), kind(None), kind(Some(4))));
    line.push_str(&format!("{} {} ", name(1), name(2)));
    line.push_str(&format!("{} {} ", sum(&[1, 2, 3]), sum(&[5, 6])));
    let mut list = vec![2, 3];
    line.push_str(&format!("{:?} {:?} ", first(&mut list), list));
    let mut list = vec![1, 3];
    line.push_str(&format!("{:?} {:?} ", first(&mut list), list));
    print(line);
}
"#;

#[test]
fn the_mutant_that_is_chosen_is_alive_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let sites = sites_of(PROGRAM);
    let rewritten = sites.rewrite(PROGRAM, &Dropped::default()).text;
    fs::write(at("main.rs"), format!("mod mutant;\n{rewritten}")).expect("written");
    fs::write(at("mutant.rs"), include_str!("switch.rs")).expect("written");
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-Awarnings", "-o"])
        .args([at("program"), at("main.rs")])
        .status();
    assert!(built.expect("there is a compiler").success(), "{rewritten}");
    let run = |variable: &str, value: &str| {
        let mut program = Command::new(at("program"));
        let output = program.env(variable, value).output().expect("it starts");
        String::from_utf8(output.stdout).expect("plain text")
    };
    let as_written = run("LEASE_MUTANT", "0");
    let expected = "true false false true false false 3 7 8 8 5 few many none many one other \
        5 11 Some(2) [] None [1, 3] \n";
    assert_eq!(as_written, expected);
    let mut printed: BTreeMap<String, String> = BTreeMap::new();
    for site in sites.sites.iter().filter(|site| site.is_mutant()) {
        let text = run("LEASE_MUTANT", &site.number.to_string());
        assert_ne!(text, as_written, "{site}");
        printed.insert(format!("{}: {}", site.function, site.what), text);
    }
    let line = &printed["less: `<` becomes `<=`"];
    assert!(line.starts_with("true true false "), "{line}");
    let line = &printed["name: an arm is never taken"];
    assert!(line.contains("many other other"), "{line}");
    let line = &printed["first: `of.clear()` goes"];
    assert!(line.contains("Some(2) [2, 3]"), "{line}");

    let file = at("reached").to_string_lossy().into_owned();
    assert_eq!(run("LEASE_REACHED", &file), as_written);
    let reached = fs::read_to_string(&file).expect("it was written");
    let reached: BTreeSet<u32> = reached
        .lines()
        .map(|it| it.parse().expect("a number"))
        .collect();
    let missed = sites
        .sites
        .iter()
        .filter(|site| !reached.contains(&site.number));
    let missed: Vec<_> = missed.map(|site| (site.kind, &*site.function)).collect();
    assert_eq!(missed, [(Kind::Branch, "nowhere"); 0]);
}
