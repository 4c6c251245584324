//! Many edges: couponds on other machines, reached over NATS.
//!
//! On an edge an unchanged coupond serves visitors. Beside it an agent, `coupon-admin edge`, plays the
//! part of coupon-admin: it writes the index folder, and passes requests to coupond's control socket.
//! In the control plane, `coupon-admin serve`, an edge is one more daemon of the
//! [registry](crate::nodes): clicks, postbacks, publication and certificates do not know whether a
//! daemon is on this machine.
//!
//! Rules:
//! - NATS holds no truth. Clicks and postbacks go by request and answer, with the cursor as the
//!   acknowledgement, so nothing is lost with a message or a stream. A stream holds only the
//!   published index, which is put there again when it is missing.
//! - NATS is not trusted either: each message is sealed ([`sealing`]).
//! - The control plane asks; an edge answers. A slow edge is asked less.

pub mod agent;
mod asker;
pub mod bundle;
mod certificate_watch;
pub mod edge_state;
mod head;
mod hello;
pub mod hub;
mod lease;
pub mod link;
mod message;
mod nats;
mod objects;
mod pieces;
pub mod registration;
pub mod rights;
pub mod sealing;
mod subjects;
