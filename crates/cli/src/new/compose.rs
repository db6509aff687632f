//! What a further service changes in files that are there: a part of `docker-compose.yml`, and its database.

use std::path::Path;

use anyhow::{Context, Result};

use super::{File, fill_in};

const COMPOSE: &str = "docker-compose.yml";
const DATABASES: &str = "deploy/postgres/databases.sql";

/// The changed files, none of which has been written. A workspace without compose has none.
pub(super) fn changes(root: &Path, words: &[(&str, String)]) -> Result<Vec<File>> {
    let (compose, databases) = (root.join(COMPOSE), root.join(DATABASES));
    let template = root.join("templates").join("compose.yml");
    if !compose.exists() || !template.exists() {
        return Ok(Vec::new());
    }
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    let part = fill_in(&read(&template)?, words);
    let contents = with_service(&read(&compose)?, &part).with_context(|| {
        format!("{COMPOSE} has no line `volumes:` for the new service to stand before; nothing has been written")
    })?;
    let database = fill_in("CREATE DATABASE \"__name__\" OWNER seawall;\n", words);
    let with_database = read(&databases)? + &database;
    Ok(vec![File { path: compose, contents }, File { path: databases, contents: with_database }])
}

/// The compose file with a further service at the end of its services.
fn with_service(compose: &str, part: &str) -> Option<String> {
    let (services, volumes) = compose.split_once("\nvolumes:\n")?;
    Some(format!("{services}\n{part}\nvolumes:\n{volumes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_after_the_others() {
        let compose = "services:\n  user:\n    image: a\n\nvolumes:\n  postgres:\n";
        let changed = with_service(compose, "  billing:\n    image: b\n").unwrap();
        assert_eq!(changed, "services:\n  user:\n    image: a\n\n  billing:\n    image: b\n\nvolumes:\n  postgres:\n");
        assert_eq!(with_service("services: {}\n", ""), None);
    }
}
