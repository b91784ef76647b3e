//! What a `batch` plugin may ask of its window.

use wasmtime::component::Resource;

use super::{
    bindings::batching,
    guest::Guest,
    window::{Item, Window},
};

impl batching::Host for Guest {}

impl Guest {
    fn item(&self, place: u32) -> wasmtime::Result<&Item> {
        let items = &self.window()?.items;
        let absent =
            || wasmtime::format_err!("there is no item {place} in this window, it has {}", items.len());
        items.get(place as usize).ok_or_else(absent)
    }
}

/// There is one window per store, so the handle says nothing that the store does not know.
impl batching::HostWindow for Guest {
    fn route(&mut self, _: Resource<Window>) -> wasmtime::Result<String> {
        Ok(self.window()?.route.to_string())
    }

    fn destination(&mut self, _: Resource<Window>) -> wasmtime::Result<String> {
        Ok(self.window()?.destination.to_string())
    }

    fn len(&mut self, _: Resource<Window>) -> wasmtime::Result<u32> {
        Ok(self.window()?.items.len() as u32)
    }

    fn event_id(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<String> {
        Ok(self.item(place)?.event.to_string())
    }

    fn webhook_id(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<String> {
        Ok(self.item(place)?.webhook_id.clone())
    }

    fn received_ms(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<u64> {
        Ok(self.item(place)?.received_at.as_millis())
    }

    fn key(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<Option<String>> {
        Ok(self.item(place)?.message.key.clone())
    }

    fn header(&mut self, _: Resource<Window>, place: u32, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.item(place)?.message.headers.get(&name).map(|value| value.as_bytes().to_vec()))
    }

    fn header_values(
        &mut self,
        _: Resource<Window>,
        place: u32,
        name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        let values = self.item(place)?.message.headers.get_all(&name);
        Ok(values.map(|value| value.as_bytes().to_vec()).collect())
    }

    fn headers(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let headers = self.item(place)?.message.headers.iter();
        Ok(headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn body(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(self.item(place)?.message.body.to_vec())
    }

    fn body_text(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<Option<String>> {
        Ok(str::from_utf8(&self.item(place)?.message.body).ok().map(str::to_owned))
    }

    fn body_len(&mut self, _: Resource<Window>, place: u32) -> wasmtime::Result<u64> {
        Ok(self.item(place)?.message.body.len() as u64)
    }

    /// Never called: the window is only ever lent.
    fn drop(&mut self, _: Resource<Window>) -> wasmtime::Result<()> {
        Ok(())
    }
}
