//! As whom a process runs that must not run as root.

use std::{fs, io};

use rustix::process::geteuid;

use super::StackError;

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Who runs PostgreSQL, which refuses to run as root: the user that its package brings, or nobody.
/// `None` when this process is not root.
pub(super) fn unprivileged() -> Result<Option<Account>, StackError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let file = fs::read_to_string("/etc/passwd");
    let users = file.map_err(StackError::system("reading /etc/passwd"))?;
    let found = ["postgres", "nobody"]
        .iter()
        .find_map(|name| account(&users, name));
    found.map(Some).ok_or_else(|| StackError::System {
        what: "looking for a user to run PostgreSQL as".to_owned(),
        source: io::Error::other(
            "there is neither postgres nor nobody, and it does not run as root",
        ),
    })
}

/// A line is `name:password:user:group:…` (passwd(5)).
fn account(users: &str, name: &str) -> Option<Account> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
    Some(Account {
        user: fields.nth(1)?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:/bin/sh\npostgres:x:104:106:,,:/:/bin/bash\n";
        let found = Account {
            user: 104,
            group: 106,
        };
        assert_eq!(account(users, "postgres"), Some(found));
        assert_eq!(account(users, "nobody"), None);
    }
}
