//! Which crate may depend on which, and that every dependency says why it was chosen.
//!
//! Reads manifests line by line, in the form that this project writes them: a dependency is one line.

/// The law of `docs/architecture.md`: a package and the packages of the workspace that it may depend on. Packages
/// that are not listed may depend on every library.
const LAW: &[(&str, &[&str])] = &[
    ("respire-resp", &[]),
    ("respire-datatypes", &[]),
    ("respire-keyspace", &["respire-datatypes"]),
    ("respire-journal", &[]),
    (
        "respire-engine",
        &[
            "respire-resp",
            "respire-datatypes",
            "respire-keyspace",
            "respire-journal",
            "respire-rdb",
            "respire-lua-libs",
        ],
    ),
    ("respire-rdb", &["respire-datatypes"]),
    ("respire-bench", &[]),
    ("respire-lua-libs", &[]),
];

/// The server itself, and who may depend on it.
const SERVER: &str = "respire";
const USERS_OF_SERVER: &[&str] = &["respire-tests", "xtask"];

pub fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let package = package(text).unwrap_or_default();
    let mut section = "";
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies")
            && let Some((name, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = dependency(name, value);
            if name.starts_with(SERVER) {
                if section != "workspace.dependencies" && !allowed(package, name, section) {
                    findings
                        .push(format!("{path}:{}: {package} may not depend on {name}", number + 1));
                }
            } else if !line.contains("workspace") && !before.starts_with('#') {
                findings.push(format!(
                    "{path}:{}: no comment above {name} says why it was chosen",
                    number + 1
                ));
            }
        }
        before = line;
    }
    findings
}

/// The name in `[package]`.
fn package(text: &str) -> Option<&str> {
    let after = text.split("[package]").nth(1)?;
    let line = after.lines().find(|line| line.trim_start().starts_with("name"))?;
    Some(line.split_once('=')?.1.trim().trim_matches('"'))
}

/// The package behind `name = value`, `name.workspace = true` or `alias = { package = "name" }`.
fn dependency<'a>(name: &'a str, value: &'a str) -> &'a str {
    if let Some((_, after)) = value.split_once("package = \"") {
        return after.split('"').next().unwrap_or_default();
    }
    name.trim().split('.').next().unwrap_or_default()
}

fn allowed(package: &str, on: &str, section: &str) -> bool {
    if on == SERVER {
        return USERS_OF_SERVER.contains(&package);
    }
    // Tests may look at more than the code that they test.
    if section.ends_with("dev-dependencies") {
        return true;
    }
    LAW.iter().find(|(name, _)| *name == package).is_none_or(|(_, allowed)| allowed.contains(&on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, dependencies: &str) -> Vec<String> {
        check(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"{package}\"\nversion.workspace = true\n\n{dependencies}\n"
            ),
        )
    }

    #[test]
    fn the_law_holds_in_every_way_of_writing_a_dependency() {
        for line in [
            "respire-engine.workspace = true",
            "respire-engine = { workspace = true }",
            "respire-engine = { path = \"../engine\" }",
            "e = { package = \"respire-engine\", path = \"../engine\" }",
        ] {
            for section in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
            {
                let findings = manifest("respire-keyspace", &format!("[{section}]\n{line}"));
                assert_eq!(findings.len(), 1, "{section} {line}: {findings:?}");
                assert!(findings[0].contains("may not depend on respire-engine"), "{findings:?}");
            }
        }
        assert!(
            manifest("respire-engine", "[dependencies]\nrespire-keyspace.workspace = true")
                .is_empty()
        );
        assert_eq!(
            manifest("respire-resp", "[dependencies]\nrespire-datatypes.workspace = true").len(),
            1
        );
    }

    #[test]
    fn only_tests_and_xtask_depend_on_the_server() {
        assert!(manifest("respire-tests", "[dependencies]\nrespire.workspace = true").is_empty());
        assert_eq!(
            manifest("respire-engine", "[dev-dependencies]\nrespire.workspace = true").len(),
            1
        );
        assert!(manifest("respire", "[dependencies]\nrespire-engine.workspace = true").is_empty());
    }

    #[test]
    fn a_dependency_says_why() {
        assert_eq!(manifest("respire", "[dependencies]\nmio = \"1\"").len(), 1);
        assert!(
            manifest("respire", "[dependencies]\n# Epoll behind a safe face.\nmio = \"1\"")
                .is_empty()
        );
        assert!(manifest("respire", "[dependencies]\nmio = { workspace = true }").is_empty());
    }
}
