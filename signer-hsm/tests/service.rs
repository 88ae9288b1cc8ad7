//! The issuing service on real sockets, files and processes.

#[cfg(test)]
#[path = "service/crash.rs"]
mod crash;
#[cfg(test)]
#[path = "service/fence.rs"]
mod fence;
#[cfg(test)]
#[path = "service/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "service/issuing.rs"]
mod issuing;
#[cfg(test)]
#[path = "service/log.rs"]
mod log;
#[cfg(test)]
#[path = "service/operate.rs"]
mod operate;
#[cfg(test)]
#[path = "support/service.rs"]
mod support;
#[cfg(test)]
#[cfg(feature = "service-tls")]
#[path = "service/tls.rs"]
mod tls;
