//! The modules of a crate as the sources show them: what each defines, imports and names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use proc_macro2::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree, spanned::Spanned};

/// Index of a module in [`Tree::modules`].
pub(crate) type Id = usize;

/// All modules of one crate. The first is its root.
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
}

pub(crate) struct Module {
    /// `crate::a::b`.
    pub(crate) name: String,
    pub(crate) parent: Option<Id>,
    /// Every path in its code, imports included.
    pub(crate) paths: Vec<Named>,
    children: BTreeMap<String, Id>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// A path in code.
pub(crate) struct Named {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

struct Import {
    /// The name that it gets here; nothing for a glob.
    name: Option<String>,
    path: Vec<String>,
}

impl Tree {
    /// Reads a crate from its root file, a path below `folder`.
    pub(crate) fn read(folder: &Path, file: &str) -> Self {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let children = Path::new(file).parent().unwrap();
        Self::of(&Reader { folder, file }, &text, children)
    }

    /// A crate that is one text.
    pub(crate) fn of_text(text: &str) -> Self {
        let reader = Reader {
            folder: Path::new("/none"),
            file: "lib.rs",
        };
        Self::of(&reader, text, Path::new(""))
    }

    fn of(reader: &Reader<'_>, text: &str, children: &Path) -> Self {
        let mut tree = Self {
            modules: Vec::new(),
        };
        let root = tree.add("crate".to_owned(), None);
        tree.fill(root, reader, reader.parse(text), children);
        tree
    }

    fn add(&mut self, name: String, parent: Option<Id>) -> Id {
        self.modules.push(Module {
            name,
            parent,
            paths: Vec::new(),
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
        });
        self.modules.len() - 1
    }

    /// `children` is the folder of the files of child modules.
    fn fill(&mut self, id: Id, reader: &Reader<'_>, items: Vec<Item>, children: &Path) {
        for item in items {
            if is_test(item.to_token_stream()) {
                continue;
            }
            match item {
                Item::Mod(child) => self.fill_child(id, reader, child, children),
                Item::Impl(mut block) => {
                    block.items.retain(|item| !is_test(item.to_token_stream()));
                    self.scan(id, reader, block.to_token_stream(), false);
                }
                item => {
                    self.modules[id].items.extend(defined(&item));
                    self.scan(id, reader, item.to_token_stream(), false);
                }
            }
        }
    }

    fn fill_child(&mut self, id: Id, reader: &Reader<'_>, child: syn::ItemMod, folder: &Path) {
        let name = child.ident.to_string();
        let below = folder.join(&name);
        let full = format!("{}::{name}", self.modules[id].name);
        let new = self.add(full, Some(id));
        if let Some((_, items)) = child.content {
            self.fill(new, reader, items, &below);
        } else {
            let file = format!("{}.rs", below.display());
            let text = std::fs::read_to_string(reader.folder.join(&file))
                .unwrap_or_else(|error| panic!("{file}, a module of {}: {error}", reader.file));
            let reader = Reader {
                folder: reader.folder,
                file: &file,
            };
            self.fill(new, &reader, reader.parse(&text), &below);
        }
        self.modules[id].children.insert(name, new);
    }

    /// Takes all paths and imports out of code.
    fn scan(&mut self, id: Id, reader: &Reader<'_>, code: TokenStream, attribute: bool) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let before = &tokens[..at];
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let inner = group.stream();
                    let begins = group.delimiter() == Delimiter::Bracket
                        && (ends_with(before, "#") || ends_with(before, "#!"));
                    let attribute = attribute || begins;
                    if !(begins && starts_with(&inner, "doc")) {
                        self.scan(id, reader, inner, attribute);
                    }
                }
                TokenTree::Literal(literal) if attribute => {
                    self.scan_literal(id, reader, literal);
                }
                TokenTree::Ident(word) if *word == "use" => {
                    at += self.scan_import(id, reader, &tokens[at..]);
                }
                TokenTree::Ident(first) => {
                    let segments = path_at(&tokens, at);
                    let field = ends_with(before, ".") && !ends_with(before, "..");
                    let variable = ends_with(before, "$") && *first != "crate";
                    let lifetime = ends_with(before, "'");
                    let continued = ends_with(before, "::");
                    at += 3 * (segments.len() - 1);
                    if !(field || variable || lifetime || continued) {
                        self.name(id, reader, first.span(), segments);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Takes in the `use` statement that the tokens begin with; how many tokens that are but the first.
    /// None where it is no statement, as in `impl Trait + use<'a>`.
    fn scan_import(&mut self, id: Id, reader: &Reader<'_>, tokens: &[TokenTree]) -> usize {
        let end = tokens.iter().position(|token| is_punct(token, ';'));
        let statement = end.map(|end| tokens[..=end].iter().cloned().collect());
        match statement.map(syn::parse2::<syn::ItemUse>) {
            Some(Ok(import)) => {
                if import.leading_colon.is_none() {
                    self.import(id, reader, &import.tree, &[]);
                }
                end.unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// `#[serde(with = "a::b")]` names a path in a string.
    fn scan_literal(&mut self, id: Id, reader: &Reader<'_>, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"')) else {
            return;
        };
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if segments.len() > 1 {
            self.name(id, reader, literal.span(), segments);
        }
    }

    fn name(&mut self, id: Id, reader: &Reader<'_>, at: Span, segments: Vec<String>) {
        self.modules[id].paths.push(Named {
            file: reader.file.to_owned(),
            line: at.start().line,
            segments,
        });
    }

    fn import(&mut self, id: Id, reader: &Reader<'_>, tree: &UseTree, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let name = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.import(id, reader, &inner.tree, &path);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(id, reader, tree, prefix);
                }
                return;
            }
            UseTree::Glob(_) => None,
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                Some(&name.ident)
            }
            UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                Some(&name.rename)
            }
        };
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = match name {
            Some(name) if name == "self" => path.last().cloned(),
            name => name.map(Ident::to_string),
        };
        self.name(id, reader, tree.span(), path.clone());
        self.modules[id].imports.push(Import { name, path });
    }

    /// The module that defines what a path in the code of `from` names; nothing if it is not of this
    /// crate.
    pub(crate) fn resolve(&self, from: Id, segments: &[String]) -> Option<Id> {
        self.resolve_new(from, segments, &mut BTreeSet::new())
    }

    /// `seen` are the imports that were followed: those of circles end.
    fn resolve_new(&self, from: Id, segments: &[String], seen: &mut Seen) -> Option<Id> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => Some(self.walk(0, rest, seen)),
            "self" => Some(self.walk(from, rest, seen)),
            "super" => Some(self.walk(self.modules[from].parent?, rest, seen)),
            name => self.find(from, name, rest, seen),
        }
    }

    fn walk(&self, at: Id, segments: &[String], seen: &mut Seen) -> Id {
        let Some((first, rest)) = segments.split_first() else {
            return at;
        };
        if first == "super" {
            let parent = self.modules[at].parent.unwrap_or(at);
            return self.walk(parent, rest, seen);
        }
        // What a macro defines is not seen: it counts as an item of the last module of its path.
        self.find(at, first, rest, seen).unwrap_or(at)
    }

    fn find(&self, at: Id, name: &str, rest: &[String], seen: &mut Seen) -> Option<Id> {
        let module = &self.modules[at];
        let item = module.items.contains(name);
        if item && rest.is_empty() {
            return Some(at);
        }
        if let Some(child) = module.children.get(name) {
            return Some(self.walk(*child, rest, seen));
        }
        if item {
            return Some(at);
        }
        let named = |import: &Import| import.name.as_deref() == Some(name);
        for (index, import) in module.imports.iter().enumerate() {
            if named(import) && seen.insert((at, index, String::new())) {
                let path = [&import.path, rest].concat();
                if let Some(found) = self.resolve_new(at, &path, seen) {
                    return Some(found);
                }
            }
        }
        for (index, import) in module.imports.iter().enumerate() {
            if import.name.is_none() && seen.insert((at, index, name.to_owned())) {
                let all = self.resolve_new(at, &import.path, seen);
                let found = all.and_then(|target| self.find(target, name, rest, seen));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

/// A followed import: its module, its index there, and the name looked for if it is a glob.
type Seen = BTreeSet<(Id, usize, String)>;

struct Reader<'a> {
    folder: &'a Path,
    /// Path below the folder.
    file: &'a str,
}

impl Reader<'_> {
    fn parse(&self, text: &str) -> Vec<Item> {
        let parsed = syn::parse_file(text);
        parsed
            .unwrap_or_else(|error| panic!("{}: {error}", self.file))
            .items
    }
}

/// The name that an item defines in its module.
fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Whether an item is for tests alone.
fn is_test(item: TokenStream) -> bool {
    let mut tokens = item.into_iter();
    while let (Some(mark), Some(TokenTree::Group(attribute))) = (tokens.next(), tokens.next()) {
        if !is_punct(&mark, '#') {
            return false;
        }
        let text: String = attribute.stream().to_string();
        let text: String = text.split_whitespace().collect();
        if text == "cfg(test)" || text.starts_with("cfg(all(test,") {
            return true;
        }
    }
    false
}

/// The words of the path that begins at a place.
fn path_at(tokens: &[TokenTree], at: usize) -> Vec<String> {
    let mut segments = vec![tokens[at].to_string()];
    let mut rest = &tokens[at + 1..];
    while let [first, second, TokenTree::Ident(next), ..] = rest
        && is_double_colon(first, second)
    {
        segments.push(next.to_string());
        rest = &rest[3..];
    }
    segments
}

fn is_double_colon(first: &TokenTree, second: &TokenTree) -> bool {
    let joint = matches!(first, TokenTree::Punct(mark) if mark.spacing() == Spacing::Joint);
    joint && is_punct(first, ':') && is_punct(second, ':')
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn ends_with(tokens: &[TokenTree], marks: &str) -> bool {
    let mut last = tokens.iter().rev();
    let mut marks = marks.chars().rev();
    marks.all(|mark| last.next().is_some_and(|token| is_punct(token, mark)))
}

fn starts_with(code: &TokenStream, word: &str) -> bool {
    let first = code.clone().into_iter().next();
    matches!(first, Some(TokenTree::Ident(first)) if first == word)
}
