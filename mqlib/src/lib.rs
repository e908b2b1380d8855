pub mod header;
pub mod id;
mod json;
pub mod name;
pub mod now;
pub mod quit;
pub mod reply;
pub mod request;
