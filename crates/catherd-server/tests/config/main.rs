//! The configuration reader, from outside: base directories in, reports out.

mod base;
mod clusters;
mod contexts;
mod defaults;
mod hostile;
mod quick_start;
mod refusals;
