//! `cargo seawall add`: a further method of a service.

mod fields;
mod texts;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::lint::descriptors;
use crate::new::name::KEYWORDS;
use crate::template;
use crate::template::changes::Changes;
use crate::template::options::package;
use crate::terminal::{self, BOLD, styled};
use crate::workspace::Workspace;
use fields::Field;
use texts::Method;

/// Adds to a service that is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Rpc(Rpc),
}

/// Adds a method: to the contract with its policy, as a module, with tests, and to what stands in for its service in the
/// tests of others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall add rpc billing.Charge --request item_id:string,amount:int64 --response receipt_id:string
  cargo seawall add rpc billing.GetReceipt --request receipt_id:string --response items:[]Item --reads

A field is NAME:TYPE; a type is one of protobuf's own or one of the contract, behind [] if there are many of it. The
method compiles, refuses empty strings, and answers with empty fields until its module says otherwise.")]
struct Rpc {
    /// The service and the method, such as billing.Charge
    #[arg(value_name = "SERVICE.METHOD")]
    method: String,
    /// The fields of the request [default: none]
    #[arg(long, value_name = "NAME:TYPE,…", value_delimiter = ',')]
    request: Vec<Field>,
    /// The fields of the response [default: none]
    #[arg(long, value_name = "NAME:TYPE,…", value_delimiter = ',')]
    response: Vec<Field>,
    /// It changes nothing, so that it may be called again
    #[arg(long)]
    reads: bool,
    /// How long a call may take, in milliseconds: 1 to 3600000
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    budget_ms: u32,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let What::Rpc(rpc) = args.what;
    let workspace = Workspace::find()?;
    let root = &workspace.root;
    let Some((service, method)) = rpc.method.split_once('.') else {
        bail!("{:?} is not a service and a method, such as billing.Charge", rpc.method);
    };
    workspace.service(service)?;
    let method = Method {
        service: service.to_owned(),
        name: method.to_owned(),
        request: rpc.request,
        response: rpc.response,
        reads: rpc.reads,
        budget_ms: rpc.budget_ms,
    };
    check(&method)?;
    let changes = changes(root, &method)?;
    changes.check(root)?;
    let summary = changes.summary(root);
    if !rpc.dry_run {
        // Types of fields are names until the contracts are compiled.
        changes.apply(root, || descriptors(&root.join("proto")).map(drop))?;
    }
    for (verb, path) in summary {
        terminal::status(verb, path);
    }
    if rpc.dry_run {
        terminal::warning("Dry run", "nothing has been written");
        return Ok(ExitCode::SUCCESS);
    }
    terminal::print("")?;
    terminal::print(styled(BOLD, "Next"))?;
    terminal::print(format!("say what it does in services/{service}/src/{}.rs", method.snake()))?;
    terminal::print(format!("cargo seawall test -p {service}"))?;
    Ok(ExitCode::SUCCESS)
}

fn check(method: &Method) -> Result<()> {
    let name = &method.name;
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_name || KEYWORDS.contains(&method.snake().as_str()) {
        bail!("{name:?} cannot be the name of a method; take letters and digits, such as Charge or GetReceipt");
    }
    for fields in [&method.request, &method.response] {
        let repeated =
            fields.iter().enumerate().find(|(at, field)| fields[..*at].iter().any(|it| it.name == field.name));
        if let Some((_, field)) = repeated {
            bail!("the field {} is named twice", field.name);
        }
    }
    Ok(())
}

/// What is written, none of which may be there.
fn changes(root: &Path, method: &Method) -> Result<Changes> {
    let service = &method.service;
    let folder = format!("services/{service}");
    let contract = format!("proto/{}/{service}/v1/{service}.proto", package(root)?);
    let [library, joins] = ["lib", "service"].map(|file| format!("{folder}/src/{file}.rs"));
    let [tests, harness] = ["main", "harness"].map(|file| format!("{folder}/tests/{service}/{file}.rs"));
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path))
            .with_context(|| format!("{path} cannot be read; a method is added to what `cargo seawall new` has made"))
    };
    let module = format!("{folder}/src/{}.rs", method.snake());
    let test = format!("{folder}/tests/{service}/{}.rs", method.snake());
    if let Some(taken) = [&module, &test].into_iter().find(|path| root.join(path).exists()) {
        bail!("{taken} is there already; nothing has been written");
    }
    let joins_text = read(&joins)?;
    let types = texts::types(&joins_text).with_context(|| format!("{joins} uses no types of its contract"))?;
    let mut code = BTreeMap::from([
        (module, method.module(types)),
        (test, method.test(types, &read(&harness)?)?),
        (library.clone(), method.in_library(&read(&library)?).with_context(|| not_as_expected(&library))?),
        (joins.clone(), method.in_service(&joins_text).with_context(|| not_as_expected(&joins))?),
        (tests.clone(), method.in_tests(&read(&tests)?).with_context(|| not_as_expected(&tests))?),
    ]);
    for (path, text) in others(root, &folder)? {
        if let Some(with) = method.in_stand_in(&text, &joins_text) {
            code.insert(path.clone(), with.with_context(|| not_as_expected(&path))?);
        }
    }
    template::format(&mut code, root)?;
    let mut changes = Changes::default();
    changes.write(&contract, method.in_contract(&read(&contract)?).with_context(|| not_as_expected(&contract))?);
    for (path, text) in code {
        changes.write(path, text);
    }
    Ok(changes)
}

/// The code of the workspace beside that of a service, with its paths from the root.
fn others(root: &Path, service: &str) -> Result<Vec<(String, String)>> {
    let mut others = Vec::new();
    for folder in ["crates", "services"].map(|name| root.join(name)).iter().filter(|folder| folder.is_dir()) {
        let files = template::files_below(folder)?.into_iter();
        let code = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        for path in code.filter(|path| !path.starts_with(root.join(service))) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            others.push((path.strip_prefix(root)?.display().to_string(), text));
        }
    }
    Ok(others)
}

fn not_as_expected(path: &str) -> String {
    format!("the method cannot be added to {path}")
}
