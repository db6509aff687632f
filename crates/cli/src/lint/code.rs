//! The calls that the code of services makes, found by reading it.
//!
//! Types are not known here. A package calls a method if it names the generated client of the
//! method's service, and has a method call with the method's name, such as `.get_user(…)`. Code that
//! is for tests only does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use heck::ToSnakeCase as _;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use seawall_policy::lint::{Call, Package};
use seawall_policy::{Contract, Location};
use syn::visit::{self, Visit};
use syn::{Attribute, ExprMethodCall, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, Macro, UseTree};

/// Every package below `services/`, with what it serves and calls.
pub(super) fn packages(root: &Path, contract: &Contract) -> Result<Vec<Package>> {
    let services = root.join("services");
    let mut folders = Vec::new();
    if services.is_dir() {
        for entry in services.read_dir().with_context(|| format!("{} cannot be read", services.display()))? {
            folders.push(entry?.path());
        }
    }
    folders.sort();
    folders.into_iter().filter(|folder| folder.join("src").is_dir()).map(|it| package(root, &it, contract)).collect()
}

fn package(root: &Path, folder: &Path, contract: &Contract) -> Result<Package> {
    let mut files = Vec::new();
    collect(&folder.join("src"), &mut files)?;
    files.sort();
    let mut seen = Vec::new();
    for path in files {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("{shown} cannot be read"))?;
        let file = syn::parse_file(&text).map_err(|error| {
            anyhow::anyhow!("{shown}:{}: {error}", error.span().start().line).context("code cannot be read")
        })?;
        let mut reader = Reader { folder_of_modules: folder_of_modules(&path), ..Reader::default() };
        reader.visit_file(&file);
        seen.push((path, shown, reader));
    }
    let of_tests: Vec<PathBuf> = seen.iter().flat_map(|(_, _, reader)| reader.test_modules.clone()).collect();
    seen.retain(|(path, _, _)| {
        !of_tests.iter().any(|module| path.with_extension("") == *module || path.starts_with(module))
    });

    let name = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
    let mut package = Package { name, ..Package::default() };
    let mut clients = BTreeSet::new();
    for (_, _, reader) in &seen {
        for path in &reader.paths {
            package.serves.extend(services_of(path, "_server", contract));
            clients.extend(services_of(path, "_client", contract));
        }
    }
    let names = names_of_methods(&clients, contract);
    for (_, shown, reader) in &seen {
        for (called, line) in &reader.calls {
            let location = Location { file: shown.as_str().into(), line: *line };
            let methods = names.get(called).into_iter().flatten();
            package.calls.extend(methods.map(|method| Call { method: method.clone(), location: location.clone() }));
        }
    }
    Ok(package)
}

/// Adds every `.rs` below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Where the modules of a file lie that it declares with `mod name;`.
fn folder_of_modules(file: &Path) -> PathBuf {
    let is_root = file.file_stem().is_some_and(|stem| ["lib", "main", "mod"].iter().any(|root| *root == stem));
    if is_root { file.parent().unwrap_or(file).to_owned() } else { file.with_extension("") }
}

/// The methods of services by the names that generated clients give them.
fn names_of_methods(services: &BTreeSet<String>, contract: &Contract) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::<String, Vec<String>>::new();
    for (_, method) in contract.methods().filter(|(_, method)| services.contains(method.service())) {
        let name = method.name.rsplit('/').next().unwrap_or_default().to_snake_case();
        names.entry(name).or_default().push(method.name.to_string());
    }
    names
}

/// The services whose generated module, such as `user_service_client`, a path goes through. Where
/// it does not tell the package, all services of that name.
fn services_of(path: &[String], ending: &str, contract: &Contract) -> BTreeSet<String> {
    let all: BTreeSet<&str> = contract.methods().map(|(_, method)| method.service()).collect();
    let mut found = BTreeSet::new();
    for (index, segment) in path.iter().enumerate() {
        let Some(module) = segment.strip_suffix(ending) else { continue };
        let is_it = |service: &&&str| service.rsplit('.').next().unwrap_or_default().to_snake_case() == module;
        let named: Vec<&str> = all.iter().filter(is_it).copied().collect();
        // The path may begin with a crate or `super`, so that the package is its end.
        let package = path[..index].join(".");
        let is_exact = |service: &&&str| service.rsplit_once('.').is_some_and(|(theirs, _)| package.ends_with(theirs));
        let exact: Vec<&str> = named.iter().filter(is_exact).copied().collect();
        found.extend(if exact.is_empty() { named } else { exact }.into_iter().map(str::to_owned));
    }
    found
}

/// What one file says.
#[derive(Debug, Default)]
struct Reader {
    folder_of_modules: PathBuf,
    /// Every path, with those of `use` written out.
    paths: Vec<Vec<String>>,
    /// Method calls: name and line.
    calls: Vec<(String, usize)>,
    /// Modules of other files that are for tests only, without `.rs`.
    test_modules: Vec<PathBuf>,
}

impl Reader {
    fn flatten(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.flatten(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.paths.push(with(&name.ident)),
            UseTree::Rename(rename) => self.paths.push(with(&rename.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.flatten(before, tree)),
            _ => self.paths.push(before.to_vec()),
        }
    }

    /// Finds `.name(…)` where syn cannot: in the arguments of macros.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for window in tokens.windows(3) {
            if let [TokenTree::Punct(dot), TokenTree::Ident(name), TokenTree::Group(group)] = window
                && dot.as_char() == '.'
                && group.delimiter() == Delimiter::Parenthesis
            {
                self.calls.push((name.to_string(), name.span().start().line));
            }
        }
        for token in tokens {
            if let TokenTree::Group(group) = token {
                self.scan(group.stream());
            }
        }
    }
}

/// Whether it is `#[cfg(test)]` or `#[test]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().segments.last().is_some_and(|last| last.ident == "test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|it| it.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        } else if module.content.is_none() {
            self.test_modules.push(self.folder_of_modules.join(module.ident.to_string()));
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_impl(&mut self, implementation: &'ast ItemImpl) {
        if !is_for_tests(&implementation.attrs) {
            visit::visit_item_impl(self, implementation);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.flatten(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.calls.push((call.method.to_string(), call.method.span().start().line));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.scan(call.tokens.clone());
    }
}
