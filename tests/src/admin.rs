//! A client of the gateway's admin listener.

use std::net::SocketAddr;

use reqwest::{Client, Method};
use serde_json::Value;

use crate::{
    client::{self, Answer},
    wait,
};

#[derive(Clone)]
pub struct Admin {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Admin {
    pub fn new(addr: SocketAddr, token: Option<String>) -> Self {
        Self { client: client::http1(), base: format!("http://{addr}"), token }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The same listener, asked with another token.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, None).await
    }

    pub async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// `GET /events?QUERY`, newest first.
    pub async fn events(&self, query: &str) -> Vec<Value> {
        list(&self.get(&format!("/events?{query}")).await.expect(200), "events")
    }

    /// `GET /events/{id}`
    pub async fn event(&self, id: &str) -> Value {
        self.get(&format!("/events/{id}")).await.expect(200).json()
    }

    /// Waits until an event is in this state and gives all that is known of it.
    pub async fn wait_state(&self, id: &str, state: &str) -> Value {
        let event = wait::poll(wait::PATIENCE, async || {
            let answer = self.get(&format!("/events/{id}")).await;
            (answer.status == 200).then(|| answer.json()).filter(|event| event["state"] == state)
        });
        match event.await {
            Some(event) => event,
            None => panic!("event {id} never was `{state}`: {}", self.event(id).await),
        }
    }

    /// `GET /dead-letters`, newest first.
    pub async fn dead_letters(&self) -> Vec<Value> {
        list(&self.get("/dead-letters").await.expect(200), "dead_letters")
    }

    /// Waits until there are exactly so many dead letters.
    pub async fn wait_dead_letters(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} dead letters");
        wait::wait_for(&what, async || Some(self.dead_letters().await).filter(|dead| dead.len() == count))
            .await
    }

    /// `POST /dead-letters/replay`: how many dead letters are tried again.
    pub async fn replay_dead(&self, filter: Value) -> u64 {
        let answer = self.post_json("/dead-letters/replay", filter).await.expect(200);
        answer.json()["replayed"].as_u64().unwrap_or_else(|| panic!("no count in {}", answer.text()))
    }

    pub async fn reload(&self) -> Answer {
        self.post("/reload").await
    }

    /// The sum of a metric's samples whose labels contain `labels`; 0 where there is none.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.get("/metrics").await.expect(200).text();
        metrics.lines().filter_map(|line| sample(line, name, labels)).sum()
    }

    /// The number of the config generation in force.
    pub async fn generation(&self) -> u64 {
        self.metric("sluice_generation", "").await as u64
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        match request.send().await {
            Ok(response) => Answer::read(response).await.expect("admin answer is read"),
            Err(error) => panic!("{url}: {error:?}"),
        }
    }
}

#[track_caller]
fn list(answer: &Answer, key: &str) -> Vec<Value> {
    match answer.json()[key].take() {
        Value::Array(items) => items,
        _ => panic!("no list `{key}` in {}", answer.text()),
    }
}

/// The value of a line such as `name{label="x"} 1.0`, if it is a sample of that metric with those labels.
fn sample(line: &str, name: &str, labels: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (found, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    found.contains(labels).then(|| value.split(' ').next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_apart_by_name_and_labels() {
        let line = r#"sluice_reloads_total{outcome="applied"} 3"#;
        assert_eq!(sample(line, "sluice_reloads_total", r#"outcome="applied""#), Some(3.0));
        assert_eq!(sample(line, "sluice_reloads_total", r#"outcome="refused""#), None);
        assert_eq!(sample(line, "sluice_reloads", ""), None);
        assert_eq!(sample("sluice_generation 2", "sluice_generation", ""), Some(2.0));
    }
}
