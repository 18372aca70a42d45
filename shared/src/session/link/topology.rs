//! Which node of a cluster is in charge of which slots, as one of its nodes tells.

use redis::{ConnectionAddr, Value};

use super::{
    connect::{Connection, connect_to_ask},
    fault::Fault,
};
use crate::session::{StoreSettings, redis_url::Node, slot};

/// What a node knows of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The first and the last slot of a range, and who is in charge of it.
    pub(super) ranges: Vec<(u16, u16, Node)>,
    /// All nodes that it names, replicas too.
    pub(super) nodes: Vec<Node>,
}

impl View {
    /// Who is in charge of a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&Node> {
        let mut ranges = self.ranges.iter();
        let range = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, node)| node)
    }

    /// Reads the answer to `CLUSTER SLOTS` of the node `asked`.
    fn read(answer: &Value, asked: &Node) -> Option<Self> {
        let Value::Array(entries) = answer else {
            return None;
        };
        let mut view = Self {
            ranges: Vec::with_capacity(entries.len()),
            nodes: Vec::new(),
        };
        for entry in entries {
            let Value::Array(parts) = entry else {
                return None;
            };
            let [first, last, nodes @ ..] = parts.as_slice() else {
                return None;
            };
            let nodes = nodes.iter().map(|node| node_of(node, asked));
            let nodes: Vec<Node> = nodes.collect::<Option<_>>()?;
            let primary = nodes.first()?.clone();
            view.ranges.push((number(first)?, number(last)?, primary));
            for node in nodes {
                if !view.nodes.contains(&node) {
                    view.nodes.push(node);
                }
            }
        }
        view.ranges.sort_by_key(|(first, ..)| *first);
        Some(view)
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

/// A node that does not know its own host is where it was reached.
fn node_of(value: &Value, asked: &Node) -> Option<Node> {
    let Value::Array(parts) = value else {
        return None;
    };
    let host = match parts.first()? {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::Nil => "",
        _ => return None,
    };
    Some(asked.beside(host, number(parts.get(1)?)?))
}

/// Where the node is now that a key is with.
pub(super) async fn find(
    settings: &StoreSettings,
    nodes: &[Node],
    key: &str,
) -> Result<ConnectionAddr, Fault> {
    let view = Scout::new(settings.clone(), nodes.to_vec())
        .look(None)
        .await?;
    let owner = view.owner(slot::of(key.as_bytes()));
    owner.cloned().map(Into::into).ok_or(Fault::UNSERVED)
}

/// Asks the nodes of a cluster what they know of it, over one connection as long as that lasts.
pub(super) struct Scout {
    settings: StoreSettings,
    /// The nodes of the URL.
    seeds: Vec<Node>,
    /// Those that were named last.
    known: Vec<Node>,
    connection: Option<(Node, Connection)>,
}

impl Scout {
    pub(super) fn new(settings: StoreSettings, seeds: Vec<Node>) -> Self {
        Self {
            settings,
            seeds,
            known: Vec::new(),
            connection: None,
        }
    }

    /// Asks one node after another, `first` before others, until one answers whose part of the cluster
    /// works. If there is none, what another one says is better than nothing.
    ///
    /// # Errors
    ///
    /// None has answered: why the first one that was asked did not.
    pub(super) async fn look(&mut self, first: Option<Node>) -> Result<View, Fault> {
        let current = self.connection.as_ref().map(|(node, _)| node.clone());
        let mut candidates: Vec<Node> = first.into_iter().chain(current).collect();
        for node in self.known.iter().chain(&self.seeds) {
            if !candidates.contains(node) {
                candidates.push(node.clone());
            }
        }
        let (mut doubtful, mut failure) = (None, None);
        for node in candidates {
            match self.ask(&node).await {
                Ok((true, view)) => {
                    self.known.clone_from(&view.nodes);
                    return Ok(view);
                }
                Ok((false, view)) => doubtful = doubtful.or(Some(view)),
                Err(fault) => {
                    tracing::debug!(%node, %fault, "a node of the cluster told nothing");
                    failure = failure.or(Some(fault));
                }
            }
        }
        doubtful.ok_or_else(|| failure.unwrap_or(Fault::NOT_YET))
    }

    /// Whether its part of the cluster works, and what it knows.
    async fn ask(&mut self, node: &Node) -> Result<(bool, View), Fault> {
        let open = self.connection.take().filter(|(at, _)| at == node);
        let mut connection = match open {
            Some((_, connection)) => connection,
            None => connect_to_ask(&self.settings, node.clone().into()).await?,
        };
        let mut both = redis::pipe();
        both.cmd("CLUSTER").arg("INFO");
        both.cmd("CLUSTER").arg("SLOTS");
        let answers = both.query_async::<(String, Value)>(&mut *connection);
        let (info, slots) = answers
            .await
            .map_err(|error| Fault::of_call("CLUSTER", &error))?;
        let view = View::read(&slots, node).ok_or(Fault::OTHER_FORM)?;
        self.connection = Some((node.clone(), connection));
        Ok((info.contains("cluster_state:ok"), view))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node {
            host: host.to_owned(),
            port,
        }
    }

    fn told(host: Value, port: i64) -> Value {
        Value::Array(vec![
            host,
            Value::Int(port),
            Value::Nil,
            Value::Array(vec![]),
        ])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_view_has_primaries_for_ranges_and_knows_replicas() {
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(8_000),
                Value::Int(16_383),
                told(Value::Nil, 7_001),
            ]),
            Value::Array(vec![
                Value::Int(0),
                Value::Int(7_998),
                told(text("10.0.0.1"), 7_000),
                told(text("?"), 7_002),
            ]),
        ]);
        let asked = node("redis.example", 7_001);
        let view = View::read(&answer, &asked).unwrap();
        assert_eq!(view.owner(0), Some(&node("10.0.0.1", 7_000)));
        assert_eq!(view.owner(7_998), Some(&node("10.0.0.1", 7_000)));
        assert_eq!(view.owner(7_999), None);
        assert_eq!(view.owner(16_383), Some(&asked), "it is where it was asked");
        assert!(view.nodes.contains(&node("redis.example", 7_002)));
    }

    #[test]
    fn an_answer_of_another_form_is_no_view() {
        let asked = node("h", 1);
        let port = Value::Array(vec![text("h"), Value::Int(70_000)]);
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(1)])]),
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(1), port])]),
            Value::Array(vec![Value::Array(vec![
                Value::Int(-1),
                Value::Int(1),
                told(Value::Nil, 1),
            ])]),
        ] {
            assert_eq!(View::read(&answer, &asked), None, "{answer:?}");
        }
    }
}
