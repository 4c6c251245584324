//! Cache of recently identified agents.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use super::{Agent, ClientHints, MAX_AGENT_BYTES};

/// Few browsers make most visits. A power of two.
const SLOTS: usize = 256;

/// The last agents of one thread, each in the slot of its hash; a newer agent replaces an older
/// one. Takes a fixed 5 KB and never allocates after its creation.
///
/// Agents are compared by a 64-bit hash with a random key, so a mix-up is as unlikely as a guess
/// of 64 bits.
pub struct RecentAgents {
    keys: RandomState,
    slots: Box<[Option<(u64, Agent)>; SLOTS]>,
}

impl Default for RecentAgents {
    fn default() -> RecentAgents {
        RecentAgents { keys: RandomState::default(), slots: Box::new([None; SLOTS]) }
    }
}

impl RecentAgents {
    /// Equals [`Agent::identify`].
    pub fn identify(&mut self, user_agent: &[u8], hints: &ClientHints<'_>) -> Agent {
        let user_agent = &user_agent[..user_agent.len().min(MAX_AGENT_BYTES)];
        let hash = self.hash(user_agent, hints);
        let slot = &mut self.slots[hash as usize % SLOTS];
        match slot {
            Some((known, agent)) if *known == hash => *agent,
            _ => {
                let agent = Agent::identify(user_agent, hints);
                *slot = Some((hash, agent));
                agent
            }
        }
    }

    fn hash(&self, user_agent: &[u8], hints: &ClientHints<'_>) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write(user_agent);
        // Lengths keep apart the same bytes in different headers.
        hasher.write_usize(user_agent.len());
        hasher.write(hints.platform);
        hasher.write_usize(hints.platform.len());
        hasher.write(hints.mobile);
        hasher.finish()
    }
}
