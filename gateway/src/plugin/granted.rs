//! What a plugin may call only where the config grants it.

use super::{
    bindings::{http, kv},
    guest::Guest,
};

fn denied<T>() -> wasmtime::Result<Result<T, kv::KvError>> {
    Ok(Err(kv::KvError::Denied("the config grants this plugin no `kv`".to_owned())))
}

impl kv::Host for Guest {
    async fn get(&mut self, _: String) -> wasmtime::Result<Result<Option<Vec<u8>>, kv::KvError>> {
        denied()
    }

    async fn set(
        &mut self,
        _: String,
        _: Vec<u8>,
        _: Option<u64>,
    ) -> wasmtime::Result<Result<(), kv::KvError>> {
        denied()
    }

    async fn delete(&mut self, _: String) -> wasmtime::Result<Result<bool, kv::KvError>> {
        denied()
    }

    async fn add(&mut self, _: String, _: i64, _: Option<u64>) -> wasmtime::Result<Result<i64, kv::KvError>> {
        denied()
    }
}

impl http::Host for Guest {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        drop(request);
        Ok(Err(http::HttpError::Denied("the config grants this plugin no `http`".to_owned())))
    }
}
