//! The nodes that are in charge of a cluster's slots, and who is in charge of which.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    fault::Fault, probe::Purpose, server::Server, together::Together, topology::View,
    watched::Watcher,
};
use crate::session::{StoreSettings, place::Tag, redis_url::Node, slot};

/// Whom a slot without a node is with.
const NOBODY: u16 = u16::MAX;

/// A link to each of them.
pub(super) struct Members {
    settings: StoreSettings,
    purpose: Purpose,
    state: Mutex<State>,
    /// Of who is told what was read and changed.
    together: Option<Arc<Together>>,
}

#[derive(Default)]
struct State {
    map: Option<Arc<Map>>,
    /// Why there is no map.
    fault: Option<Fault>,
    /// Who is to be asked for the next one.
    hint: Option<Node>,
}

/// Who is in charge of which slots.
#[derive(Clone)]
pub(super) struct Map {
    view: View,
    /// Of each slot the place of its node among the members.
    owners: Box<[u16]>,
    pub(super) members: Vec<Member>,
}

#[derive(Clone)]
pub(super) struct Member {
    node: Node,
    /// Of keys that it was in charge of when its link began.
    tag: Option<Tag>,
    pub(super) server: Server,
}

impl Map {
    /// How many slots are with no node.
    pub(super) fn unserved(&self) -> usize {
        self.owners.iter().filter(|owner| **owner == NOBODY).count()
    }
}

impl Members {
    pub(super) fn new(
        settings: StoreSettings,
        purpose: Purpose,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        Self {
            settings,
            purpose,
            state: Mutex::default(),
            together: watcher.map(Together::new),
        }
    }

    /// What was learnt last.
    pub(super) fn map(&self) -> Option<Arc<Map>> {
        self.state().map.clone()
    }

    /// The link to the node that a slot is with.
    pub(super) fn owner(&self, slot: u16) -> Option<Server> {
        let state = self.state();
        let map = state.map.as_deref()?;
        let owner = *map.owners.get(usize::from(slot))?;
        let member = map.members.get(usize::from(owner))?;
        Some(member.server.clone())
    }

    /// The map, or why there is none; `None` while nobody has been asked.
    pub(super) fn known(&self) -> Option<Result<Arc<Map>, Fault>> {
        let state = self.state();
        let map = state.map.clone().map(Ok);
        map.or_else(|| state.fault.clone().map(Err))
    }

    /// Who is to be asked next, because of what it has said.
    pub(super) fn take_hint(&self) -> Option<Node> {
        self.state().hint.take()
    }

    /// Notes that a slot is with this node now.
    pub(super) fn moved(&self, slot: u16, node: Node) -> Server {
        let mut state = self.state();
        state.hint = Some(node.clone());
        let tag = Tag::all().find(|tag| slot::of(tag.text().as_bytes()) == slot);
        let Some(map) = &mut state.map else {
            return self.begin(node, tag).server;
        };
        let map = Arc::make_mut(map);
        let place = map.members.iter().position(|member| member.node == node);
        let place = place.unwrap_or_else(|| {
            map.members.push(self.begin(node, tag));
            map.members.len() - 1
        });
        if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
            *owner = u16::try_from(place).unwrap_or(NOBODY);
        }
        // What the map is read for next is another one.
        map.view.ranges.clear();
        self.expect(map);
        map.members[place].server.clone()
    }

    /// The link to a node, whether or not it is in charge of anything.
    pub(super) fn server_at(&self, node: Node) -> Server {
        let mut state = self.state();
        let Some(map) = &mut state.map else {
            return self.begin(node, None).server;
        };
        if let Some(member) = map.members.iter().find(|member| member.node == node) {
            return member.server.clone();
        }
        let member = self.begin(node, None);
        let server = member.server.clone();
        let map = Arc::make_mut(map);
        map.members.push(member);
        self.expect(map);
        server
    }

    fn begin(&self, node: Node, tag: Option<Tag>) -> Member {
        let watcher = self.together.as_ref().map(|all| all.watch(&node));
        let server = Server::open_node(&self.settings, &node, self.purpose, tag, watcher);
        Member { node, tag, server }
    }

    /// What is kept in memory is vouched for by the nodes of this map.
    fn expect(&self, map: &Map) {
        if let Some(together) = &self.together {
            let members = map.members.iter();
            together.expect(members.map(|member| member.node.clone()).collect());
        }
    }

    /// Uses what was told from now on. Links to nodes that are in charge of something go on.
    pub(super) fn install(&self, view: View) {
        let mut state = self.state();
        state.fault = None;
        if state.map.as_ref().is_some_and(|map| map.view == view) {
            return;
        }
        let mut owners = vec![NOBODY; usize::from(slot::COUNT)].into_boxed_slice();
        let mut nodes: Vec<&Node> = Vec::new();
        for (first, last, node) in &view.ranges {
            let place = nodes.iter().position(|known| *known == node);
            let place = place.unwrap_or_else(|| {
                nodes.push(node);
                nodes.len() - 1
            });
            let place = u16::try_from(place).unwrap_or(NOBODY);
            if let Some(range) = owners.get_mut(usize::from(*first)..=usize::from(*last)) {
                range.fill(place);
            }
        }
        let mut tags = vec![None; nodes.len()];
        let owner_of = |tag: Tag| owners[usize::from(slot::of(tag.text().as_bytes()))];
        for tag in Tag::all() {
            if let Some(first) = tags.get_mut(usize::from(owner_of(tag))) {
                first.get_or_insert(tag);
            }
        }
        let before = state.map.take();
        let members = nodes.into_iter().zip(tags).zip(0_u16..);
        let members = members.map(|((node, tag), place)| {
            let mut known = before.iter().flat_map(|map| &map.members);
            // A link asks now and then whether a key can be written that is still with its node.
            let known = known.find(|member| {
                let tries = member.tag.is_some_and(|tag| owner_of(tag) == place);
                member.node == *node && (tries || tag.is_none())
            });
            known
                .cloned()
                .unwrap_or_else(|| self.begin(node.clone(), tag))
        });
        let members = members.collect();
        tracing::info!(
            nodes = view.nodes.len(),
            ranges = view.ranges.len(),
            "read who is in charge of the cluster"
        );
        let map = Map {
            view,
            owners,
            members,
        };
        self.expect(&map);
        state.map = Some(Arc::new(map));
    }

    /// Nobody told anything. What was known is used until somebody does.
    pub(super) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
