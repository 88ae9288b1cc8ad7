//! The proof: an exhaustive search of the transition function as it is shipped.
//!
//! [`search`] takes a small cluster, lets everything happen that may happen, in every order, and looks at every state
//! that is reached: the [`Machine`](crate::Machine) itself, stepped by [`apply`](crate::Machine::apply) and asked for its
//! [`pending_actions`](crate::Machine::pending_actions), together with a world that says what really is. Breadth first,
//! so what it finds wrong it explains in the fewest moves.
//!
//! # What is looked at
//!
//! The world knows what every consumer really runs with, which reports and words are under way, which keys exist, what the
//! clock shows. The laws are judged by that, never by what the machine believes:
//!
//! - Laws 1 and 2: on every path, in both directions, what one end presents the other verifies; what is dialled is served.
//!   Who is down, asleep or left behind as the preset declares breaks nothing. Nor, in an emergency, does what its plan
//!   [declares](crate::Plan::losses) of the stage that runs: of this path, between these two, with these generations.
//! - Law 3: when a stage ends, everybody whom it concerns really holds what it asked for. The point of no return is passed
//!   when somebody asked, or in its time; nothing ends while the rotation is paused.
//! - Law 4: after every stage every leaf has an issuer for every consumer.
//! - Law 5: what is derived is what would be derived anew; no consumer is given something of a stage that the journal does
//!   not know; no stage that had begun is forgotten; never more of a class are down by somebody's doing than may be.
//! - Law 6: the clock of the machine never steps back, never believes a jump before the clock has stood by it, begins a
//!   rotation only in its time, and only the expiry makes a cluster unrecoverable.
//! - Law 7: at rest, with everything seen, nobody holds what was retired, its key does not exist, and no key is destroyed
//!   while somebody holds something of it.
//! - Liveness: from every state some fair schedule, without another fault, leads to rest or past the expiry. It is
//!   computed backwards from the ends over the moves that go on by themselves.
//!
//! # Budgets
//!
//! One rotation, from rest; [two](Config::twice) of a small authority, one after the other; or an
//! [emergency](Config::in_emergency). Two replicas of the API server, of kube-controller-manager and of the Konnectivity server, three
//! members of etcd, two or three nodes in two pools, one client outside; of pods and agents one, unless the authority is
//! theirs. A third pool may be added at any time, and a node join it. One report of a consumer is under way; a newer one takes its place. Each [`FaultKind`] happens as often as its
//! budget says: once where it is alone, two kinds once each in pairs.
//!
//! # What counts as one state
//!
//! States are merged where nothing can tell them apart: report counters count by their order, epochs by whether an order
//! or a report of an older one is still under way, times by the readings that the clock can show. States are known by 128
//! bits of a hash; with a hundred million the odds that two share one are below one in 10^22. Consumers of a class are
//! not merged: the machine works on them by number, so they are not symmetric.
//!
//! # Why the rest is independent
//!
//! - More replicas and nodes: the machine compares each consumer with its class and asks whether any is waited for, and a
//!   path has two ends. Whatever breaks a path breaks it for two consumers, which small clusters have, of the same class or
//!   of two; a pool has a second node, and a second pool.
//! - More pools: pools are stages of their own with the same changes. Two show the order, and that one does not count for
//!   the other.
//! - Kinds that are left out: the scheduler has the facets of kube-controller-manager but for the signer, an aggregated
//!   API server those of a webhook.
//! - Authorities of different roles share no slot and no leaf, and a rotation moves only the facets of its own unit, which
//!   [`Plan::check`](crate::Plan::check) enforces; so they interact only where they rotate together. The service-account
//!   keys and the cluster CA do, and are searched together. The two authorities of etcd restart the same members, and a plan
//!   for both is refused.
//! - A third fault: each kind acts on one message, one consumer or one decision. Pairs show whether two of them compound.
//!
//! What is argued here is sampled by a seeded simulation of clusters of 5,000 nodes in 40 pools, among the tests.
//!
//! # How long it takes
//!
//! One kind of fault at a time, and pairs of kinds for the small authorities, are searched whenever the tests run. Pairs for the
//! larger ones take minutes to hours and gigabytes of memory:
//!
//! ```sh
//! cargo test --release -p rotation-fsm --test exhaustive deep -- --ignored --nocapture --test-threads 1
//! ```
//!
//! A state that was looked at costs some fifty octets; only those of one level, and of the next, are kept as they are.
//!
//! # What the search was not given
//!
//! A second rotation of the larger authorities, an emergency after another rotation, pools that shrink to nothing, and what
//! only tells a user something: the insight at 180 days, and DEGRADED.
//!
//! # Faults that are planted
//!
//! A [`Fault`] is a switch that removes a guard in the shipped code. With it removed the search must find what goes wrong,
//! or it would not be looking.

mod fault;
mod known;
mod laws;
mod moves;
mod search;
mod setup;
mod world;

pub use self::fault::Fault;
pub(crate) use self::fault::Faults;
pub use self::laws::Violation;
pub use self::search::{Counterexample, Progress, Report, search, search_watched};
pub use self::setup::{Config, Failure, FaultKind, Subject};
