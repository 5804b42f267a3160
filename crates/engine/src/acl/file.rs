//! The text of an ACL file: a line `user NAME RULE ...` for each user, nothing else. A text with any mistake makes no users
//! at all, and a message that names every line that is wrong.

use std::sync::Arc;

use super::Users;
use super::rules::{RuleError, is_user_name, join_selectors};
use super::user::User;

/// Reads a text. `name` is the file's, for the message.
pub(super) fn parse(text: &[u8], name: &str, all_channels: bool) -> Result<Users, Vec<u8>> {
    let mut users = Users::new();
    let mut errors: Vec<u8> = Vec::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = trimmed(line);
        if line.is_empty() {
            continue;
        }
        match parse_line(line, all_channels) {
            Ok(user) if users.contains_key(&user.name) => {
                errors.extend_from_slice(b"WARNING: Duplicate user '");
                errors.extend_from_slice(&user.name);
                errors.extend_from_slice(format!("' found on line {}. ", i + 1).as_bytes());
            }
            Ok(user) => {
                users.insert(user.name.clone(), Arc::new(user));
            }
            Err(error) => {
                errors.extend_from_slice(format!("{name}:{}", i + 1).as_bytes());
                errors.extend_from_slice(&error);
                errors.push(b' ');
            }
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.extend_from_slice(
        b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r'] = line {
        line = rest;
    }
    line
}

/// An error says what comes behind the number of the line.
fn parse_line(line: &[u8], all_channels: bool) -> Result<User, Vec<u8>> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
        return Err(b" should start with user keyword followed by the username.".to_vec());
    };
    if !is_user_name(name) {
        return Err(b": Usernames can't contain spaces or null characters.".to_vec());
    }
    let rules = join_selectors(words)
        .map_err(|_| b": Unmatched parenthesis in selector definition.".to_vec())?;
    let mut user = User::new(name, all_channels);
    for rule in rules {
        user.apply(&rule, all_channels).map_err(|error| {
            let text = error.text().as_bytes();
            match error {
                RuleError::Unknown => {
                    [b": Error in applying operation '", &rule[..], b"': ", text, b"."].concat()
                }
                _ => [b": ", text, b"."].concat(),
            }
        })?;
    }
    Ok(user)
}

/// The line of a user, without its end.
pub(crate) fn line(user: &User) -> Vec<u8> {
    [b"user ", &user.name[..], b" ", &user.describe()].concat()
}

/// The text that makes these users again.
pub(super) fn print(users: &Users) -> Vec<u8> {
    users.values().flat_map(|user| [line(user), b"\n".to_vec()].concat()).collect()
}
