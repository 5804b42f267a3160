//! CLUSTER and its kin, as a server answers them that is none of a cluster: clients find out in this way what they speak to.

use crate::command::{Flags, Group, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const STALE: Flags = Flags::STALE;
const ADMIN: Flags = STALE.union(Flags::ADMIN);
const LOADED: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING);
const CONNECTION: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const VARIES: &[&str] = &["nondeterministic_output"];

pub(crate) const ROWS: &[Row] = &[
    Row::new("asking", 1, disabled).flags(Flags::FAST).extra_categories(&["connection"]).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Asks for a slot that is on its way to this server.",
        "",
    ),
    connection("readonly", "Lets the connection read from a replica."),
    connection("readwrite", "Takes back READONLY."),
    Row::container(
        "cluster",
        &[
            row("addslots", -3, LOADED, ["Assigns slots to the server.", "slot [slot ...]"]),
            row(
                "addslotsrange",
                -4,
                LOADED,
                [
                    "Assigns ranges of slots to the server.",
                    "start-slot end-slot [start-slot end-slot ...]",
                ],
            )
            .since("7.0.0"),
            row("bumpepoch", 2, LOADED, ["Advances the epoch of the configuration.", ""])
                .tips(VARIES),
            row(
                "count-failure-reports",
                3,
                ADMIN,
                ["Counts who reports a server as failing.", "node-id"],
            )
            .tips(VARIES),
            row("countkeysinslot", 3, STALE, ["Counts the keys of a slot.", "slot"]),
            row("delslots", -3, LOADED, ["Takes slots from the server.", "slot [slot ...]"]),
            row(
                "delslotsrange",
                -4,
                LOADED,
                [
                    "Takes ranges of slots from the server.",
                    "start-slot end-slot [start-slot end-slot ...]",
                ],
            )
            .since("7.0.0"),
            row(
                "failover",
                -2,
                LOADED,
                ["Makes a replica take over from its master.", "[FORCE | TAKEOVER]"],
            ),
            row("flushslots", 2, LOADED, ["Takes all slots from the server.", ""]),
            row("forget", 3, LOADED, ["Removes a server from the cluster.", "node-id"]),
            row("getkeysinslot", 4, STALE, ["Returns keys of a slot.", "slot count"]).tips(VARIES),
            row("help", 2, Flags::LOADING.union(STALE), ["Describes the subcommands.", ""])
                .since("5.0.0"),
            row("info", 2, STALE, ["Returns the state of the cluster.", ""]).tips(VARIES),
            row("keyslot", 3, STALE, ["Returns the slot of a key.", "key"]),
            row("links", 2, STALE, ["Returns the links to other servers.", ""])
                .tips(VARIES)
                .since("7.0.0"),
            row(
                "meet",
                -4,
                LOADED,
                ["Connects the server with those of a cluster.", "ip port [cluster-bus-port]"],
            ),
            row("myid", 2, STALE, ["Returns the name of the server.", ""]),
            row("nodes", 2, STALE, ["Describes the servers of the cluster.", ""]).tips(VARIES),
            row("replicas", 3, ADMIN, ["Lists the replicas of a master.", "node-id"])
                .tips(VARIES)
                .since("5.0.0"),
            row("replicate", 3, LOADED, ["Makes the server a replica.", "node-id"]),
            row("reset", -2, ADMIN.union(Flags::NOSCRIPT), RESET),
            row("saveconfig", 2, LOADED, ["Writes the configuration of the cluster.", ""]),
            row("set-config-epoch", 3, LOADED, ["Sets the epoch of a new server.", "config-epoch"]),
            row(
                "setslot",
                -4,
                LOADED,
                [
                    "Says where a slot is.",
                    "slot <IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE>",
                ],
            ),
            row("shards", 2, STALE, ["Maps slots to servers.", ""]).tips(VARIES).since("7.0.0"),
            row("slaves", 3, ADMIN, ["The old name of CLUSTER REPLICAS.", "node-id"]).tips(VARIES),
            row("slots", 2, STALE, ["Maps slots to servers, in the old form.", ""]).tips(VARIES),
        ],
    )
    .docs(Group::Cluster, "3.0.0", "Depends on the subcommand", "Manages a cluster.", ""),
];

const RESET: [&str; 2] = ["Makes the server forget its cluster.", "[HARD | SOFT]"];

const fn connection(name: &'static str, summary: &'static str) -> Row {
    Row::new(name, 1, disabled).flags(CONNECTION).extra_categories(&["connection"]).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        summary,
        "",
    )
}

const fn row(name: &'static str, arity: i32, flags: Flags, text: [&'static str; 2]) -> Row {
    Row::new(name, arity, disabled).flags(flags).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        text[0],
        text[1],
    )
}

fn disabled(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(Error::fixed("ERR This instance has cluster support disabled"))
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn a_server_alone_says_so() {
        let mut h = Harness::new();
        for line in ["CLUSTER INFO", "CLUSTER KEYSLOT k", "CLUSTER HELP", "READONLY", "ASKING"] {
            assert_eq!(
                h.line(line),
                "-ERR This instance has cluster support disabled\r\n",
                "{line}"
            );
        }
        assert_eq!(
            h.line("CLUSTER NOSUCH"),
            "-ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.\r\n"
        );
        assert!(
            h.line("CLUSTER KEYSLOT").contains("wrong number of arguments for 'cluster|keyslot'")
        );
    }
}
