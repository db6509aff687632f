//! What a method is in each of the files of its service.

use anyhow::{Context, Result, bail};

use super::fields::Field;

/// A method that is to be.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) service: String,
    /// As in the contract, such as `Charge`.
    pub(super) name: String,
    pub(super) request: Vec<Field>,
    pub(super) response: Vec<Field>,
    /// Whether it has no side effects.
    pub(super) reads: bool,
    pub(super) budget_ms: u32,
}

/// How an implementation of a service begins.
const IMPLEMENTS: &str = "#[tonic::async_trait]\nimpl ";

/// The path of the contract's types, such as `seawall_proto::seawall::billing::v1`, by what `service.rs` uses.
pub(super) fn types(service: &str) -> Option<&str> {
    service.lines().find_map(|line| Some(line.strip_prefix("use ")?.split_once("::{")?.0))
}

impl Method {
    /// As in Rust.
    pub(super) fn snake(&self) -> String {
        heck::AsSnakeCase(&self.name).to_string()
    }

    /// The contract with the method as the last of its service, and its messages at the end.
    pub(super) fn in_contract(&self, contract: &str) -> Result<String> {
        let name = &self.name;
        for taken in [format!("rpc {name}("), format!("message {name}Request "), format!("message {name}Response ")] {
            if contract.contains(&taken) {
                bail!("it has {taken:?} already");
            }
        }
        let service = contract.find("\nservice ").context("it has no service")?;
        let end = contract[service..].find("\n}\n").context("its service has no end, a line that is }")?;
        let (before, after) = contract.split_at(service + end + 1);
        let scope = contract.split('"').find(|text| text.ends_with(".write"));
        let scope = scope.map_or_else(|| format!("{}.write", self.service), str::to_owned);
        let option = if self.reads {
            "    option idempotency_level = NO_SIDE_EFFECTS;\n".to_owned()
        } else {
            format!("    option (seawall.auth.v1.method) = {{allow: {{scopes: \"{scope}\"}}}};\n")
        };
        let budget = format!("    option (seawall.policy.v1.method) = {{budget_ms: {}}};\n", self.budget_ms);
        Ok(format!(
            "{before}\n  // {name} is yet to be described: what it does, and what it fails with.\n  rpc \
             {name}({name}Request) returns ({name}Response) {{\n{option}{budget}  }}\n{after}\n{}\n{}",
            message(&format!("{name}Request"), &format!("What {name} is asked."), &self.request, true),
            message(&format!("{name}Response"), &format!("What {name} answers."), &self.response, false),
        ))
    }

    /// Its module.
    pub(super) fn module(&self, types: &str) -> String {
        let (name, function) = (&self.name, self.snake());
        let head = format!("//! {name}.\n\n");
        let uses = format!("use {types}::{{{name}Request, {name}Response}};\n");
        let says = "/// Answers with empty fields: what it does is to be written here.\n";
        let texts: Vec<&Field> = self.request.iter().filter(|field| field.is_text()).collect();
        if texts.is_empty() {
            return format!(
                "{head}use seawall_error::Error;\n{uses}\n{says}pub(crate) fn {function}(_: {name}Request) -> \
                 Result<{name}Response, Error> {{\n    Ok({name}Response::default())\n}}\n"
            );
        }
        let check = |field: &&Field| {
            let field = &field.name;
            format!("    violations.check(!request.{field}.is_empty(), \"{field}\", \"must not be empty\");\n")
        };
        let checks: String = texts.iter().map(check).collect();
        format!(
            "{head}use seawall_error::{{Error, Violations}};\n{uses}\nuse crate::errors::DOMAIN;\n\n{says}pub(crate) fn \
             {function}(request: {name}Request) -> Result<{name}Response, Error> {{\n    let mut violations = \
             Violations::default();\n{checks}    violations.into_result(DOMAIN)?;\n\n    \
             Ok({name}Response::default())\n}}\n"
        )
    }

    /// Its tests, which use what the harness has.
    pub(super) fn test(&self, types: &str, harness: &str) -> Result<String> {
        let (name, function) = (&self.name, self.snake());
        let runs = ["on_each_engine", "on_service"].into_iter();
        let mut runs = runs.filter(|run| harness.contains(&format!("fn {run}(")));
        let run = runs.next().context("the harness of the tests has neither on_each_engine nor on_service")?;
        let (given, client) =
            if harness.contains("AsyncFn(&Stack)") { ("stack", "stack.client") } else { ("client", "client") };
        let texts: Vec<&Field> = self.request.iter().filter(|field| field.is_text()).collect();
        let mut good: Vec<String> = texts.iter().map(|field| format!("{}: \"x\".into()", field.name)).collect();
        if texts.len() < self.request.len() {
            good.push("..Default::default()".to_owned());
        }
        let good = good.join(", ");
        let head = format!("//! {name}.\n\nuse {types}::{{{name}Request, {name}Response}};\n");
        let answered = format!(
            "#[tokio::test]\nasync fn a_good_request_is_answered() {{\n    {run}(async |{given}| {{\n        let request \
             = {name}Request {{ {good} }};\n        let answer = \
             {client}.clone().{function}(request).await.unwrap().into_inner();\n        assert_eq!(answer, \
             {name}Response::default());\n    }})\n    .await;\n}}\n"
        );
        if texts.is_empty() {
            return Ok(format!("{head}\nuse crate::harness::{run};\n\n{answered}"));
        }
        let bad: Vec<String> = texts.iter().map(|field| format!("{:?}", field.name)).collect();
        let bad = bad.join(", ");
        Ok(format!(
            "{head}use seawall_testkit::Refusal;\n\nuse crate::harness::{{{run}, \
             refusal}};\n\n{answered}\n#[tokio::test]\nasync fn every_bad_field_is_named() {{\n    {run}(async |{given}| \
             {{\n        let answer = {client}.clone().{function}({name}Request::default()).await;\n        \
             assert_eq!(refusal(answer), Refusal::bad(&[{bad}]));\n    }})\n    .await;\n}}\n"
        ))
    }

    /// `lib.rs` with its module.
    pub(super) fn in_library(&self, library: &str) -> Result<String> {
        let with = before_first_line(library, "mod ", &format!("mod {};\n", self.snake()))?;
        Ok(with.replacen("` are the methods", &format!(" {}.rs` are the methods", self.snake()), 1))
    }

    /// `tests/NAME/main.rs` with the module of its tests.
    pub(super) fn in_tests(&self, tests: &str) -> Result<String> {
        before_first_line(tests, "mod ", &format!("mod {};\n", self.snake()))
    }

    /// `service.rs` with the line that leads to its module.
    pub(super) fn in_service(&self, service: &str) -> Result<String> {
        let (name, function) = (&self.name, self.snake());
        let types = types(service).context("it uses no types of its contract")?;
        let named = service.replacen(
            &format!("use {types}::{{"),
            &format!("use {types}::{{{name}Request, {name}Response, "),
            1,
        );
        let used = before_first_line(&named, "use crate::", &format!("use crate::{function}::{function};\n"))?;
        let start = used.find(IMPLEMENTS).context("it implements no service of tonic")?;
        let function = format!(
            "    async fn {function}(&self, request: Request<{name}Request>) -> Result<Response<{name}Response>, Status> \
             {{\n        Ok(Response::new({function}(request.into_inner())?))\n    }}\n"
        );
        in_block(&used, start, &function)
    }

    /// What stands in for the service in the tests of others, with a method that has no answer. `None` for code that
    /// does not stand in for the service.
    pub(super) fn in_stand_in(&self, code: &str, service: &str) -> Option<Result<String>> {
        let types = types(service)?;
        let (_, implements) = service.split_once(IMPLEMENTS)?;
        let (interface, _) = implements.split_once(' ')?;
        if !code.contains(&format!("use {types}")) {
            return None;
        }
        let start = code.find(&format!("{IMPLEMENTS}{interface} for "))?;
        let (name, function) = (&self.name, self.snake());
        let function = format!(
            "    async fn {function}(&self, _: tonic::Request<{types}::{name}Request>) -> \
             Result<tonic::Response<{types}::{name}Response>, tonic::Status> {{\n        \
             Err(tonic::Status::unimplemented(\"not for these tests\"))\n    }}\n"
        );
        Some(in_block(code, start, &function))
    }
}

fn message(name: &str, about: &str, fields: &[Field], are_checked: bool) -> String {
    if fields.is_empty() {
        return format!("// {about}\nmessage {name} {{}}\n");
    }
    let field = |(number, field): (usize, &Field)| {
        let repeated = if field.is_repeated { "repeated " } else { "" };
        let says = if are_checked && field.is_text() { "  // Not empty.\n" } else { "" };
        format!("{says}  {repeated}{} {} = {};\n", field.kind, field.name, number + 1)
    };
    let fields: String = fields.iter().enumerate().map(field).collect();
    format!("// {about}\nmessage {name} {{\n{fields}}}\n")
}

/// The text with a function as the last of the block that begins at `start`.
fn in_block(text: &str, start: usize, function: &str) -> Result<String> {
    let end = text[start..].find("\n}\n").context("its implementation has no end, a line that is }")?;
    let (before, after) = text.split_at(start + end + 1);
    Ok(format!("{before}\n{function}{after}"))
}

/// The text with a line before the first one that begins so. rustfmt brings it to its place among its like.
fn before_first_line(text: &str, beginning: &str, line: &str) -> Result<String> {
    let at = text
        .find(&format!("\n{beginning}"))
        .with_context(|| format!("it has no line that begins with {beginning:?}"))?;
    Ok(format!("{}{line}{}", &text[..=at], &text[at + 1..]))
}
