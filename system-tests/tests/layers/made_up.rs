//! The checker itself, on small crates that were made up.

use super::{circles::circles, modules::Tree};

/// The circles of a crate, each as `a b`, without `crate::`.
#[track_caller]
fn found(text: &str) -> Vec<String> {
    let circles = circles(&Tree::of_text(text));
    let names = |modules: &[String]| modules.join(" ").replace("crate::", "");
    circles.iter().map(|one| names(&one.modules)).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn two_modules_that_import_each_other_are_a_circle() {
    let circle =
        "mod a { use crate::b::B; pub struct A; } mod b { use super::a::A; pub struct B; }";
    assert_eq!(found(circle), ["a b"]);
    let one_way = "mod a { use crate::b::B; } mod b { pub struct B; }";
    assert_eq!(found(one_way), NONE);
}

#[test]
fn a_parent_and_its_child_are_none() {
    let text = "mod a { use self::b::B; pub struct A; mod b { use super::A; pub struct B(A); } }";
    assert_eq!(found(text), NONE);
    let deep =
        "mod a { use b::c::C; pub struct A; mod b { pub mod c { pub struct C(crate::a::A); } } }";
    assert_eq!(found(deep), NONE);
}

#[test]
fn what_is_below_a_module_belongs_to_it() {
    let text = "mod a { mod low { fn f() { crate::b::g() } } pub struct A; }
        mod b { pub fn g() {} mod low { struct L(crate::a::A); } }";
    assert_eq!(found(text), ["a b"]);
}

#[test]
fn circles_are_found_at_every_level() {
    let text = "mod top { mod a { use super::b::B; pub struct A; }
        mod b { pub struct B(super::a::A); } }";
    assert_eq!(found(text), ["top::a top::b"]);
}

#[test]
fn a_circle_of_three_is_found_and_the_shortest_is_shown() {
    let three = "mod a { use crate::b::B; pub struct A; } mod b { use crate::c::C; pub struct B; }
        mod c { use crate::a::A; pub struct C; }";
    assert_eq!(found(three), ["a b c"]);
    let both = three.replace("pub struct C;", "pub struct C(crate::b::B);");
    assert_eq!(found(&both), ["b c"]);
}

#[test]
fn re_exports_are_followed_to_the_definition() {
    // By `crate::B` alone `a` would only know the root.
    let root = "pub use self::b::B; mod a { use crate::B; pub struct A; }
        mod b { use crate::a::A; pub struct B; }";
    assert_eq!(found(root), ["a b"]);
    let renamed =
        "pub use self::b::B as Other; mod a { fn f() { crate::Other::new() } pub struct A; }
        mod b { use crate::a::A; pub struct B; }";
    assert_eq!(found(renamed), ["a b"]);
    let glob = "pub use self::b::*; mod a { use crate::B; pub struct A; }
        mod b { use crate::a::A; pub struct B; }";
    assert_eq!(found(glob), ["a b"]);
    let elsewhere = "mod a { pub use crate::c::C; } mod b { use crate::a::C; }
        mod c { use crate::b; pub struct C; }";
    assert_eq!(found(elsewhere), ["b c"]);
}

#[test]
fn an_alias_of_a_module_is_followed() {
    let text = "mod a { use crate::b as other; fn f() { other::low::g() } pub struct A; }
        mod b { pub mod low { pub fn g() { crate::a::A; } } }";
    assert_eq!(found(text), ["a b"]);
}

#[test]
fn paths_in_code_macros_and_attributes_count() {
    for code in [
        "fn f() { crate::b::g() }",
        "fn f() -> Vec<crate::b::B> { todo!() }",
        "fn f() { println!(\"{}\", crate::b::LIMIT) }",
        "fn f() { use crate::b::{self, g}; }",
        "fn f() { match 1 { 0..crate::b::LIMIT => {} } }",
        "#[serde(with = \"crate::b\")] struct S;",
        "#[derive(crate::b::D)] struct S;",
        "impl crate::b::T for A {}",
        "macro_rules! m { () => { $crate::b::g() } }",
    ] {
        let text =
            format!("mod a {{ pub struct A; {code} }} mod b {{ fn g(_: crate::a::A) {{}} }}");
        assert_eq!(found(&text), ["a b"], "{code}");
    }
}

#[test]
fn what_is_no_path_of_this_crate_does_not_count() {
    for code in [
        "/// Like [`crate::b::B`].\n pub struct D;",
        "// crate::b::B\n pub struct D;",
        "fn f() { std::b::g(); ::b::g(); value.b::<u8>(); \"crate::b\"; }",
        "fn f<'b>(_: &'b u8) -> impl Iterator + use<'b> { Self::b::C }",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "impl A { #[cfg(test)] fn f() { crate::b::g() } }",
    ] {
        let text = format!("mod a {{ pub struct A; {code} }} mod b {{ use crate::a::A; }}");
        assert_eq!(found(&text), NONE, "{code}");
    }
}

#[test]
fn imports_that_lead_back_to_themselves_end() {
    let text =
        "mod a { pub use crate::b::*; use bytes; } mod b { pub use crate::a::*; struct B(X); }";
    assert_eq!(found(text), ["a b"]);
}

#[test]
fn a_circle_is_shown_with_the_lines_that_make_it() {
    let text =
        "mod a {\n use crate::b::B;\n pub struct A;\n}\nmod b { pub struct B(super::a::A); }";
    let shown = circles(&Tree::of_text(text))[0].to_string();
    let expected = "crate::a -> crate::b -> crate::a
  crate::a -> crate::b
    lib.rs:2: crate::b::B
  crate::b -> crate::a
    lib.rs:5: super::a::A
";
    assert_eq!(shown, expected);
}
