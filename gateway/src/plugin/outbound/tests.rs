use std::future::pending;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

use super::*;
use crate::config::Scheme;

fn grant(scheme: Scheme, host: &str, port: u16, private: bool) -> HttpGrant {
    HttpGrant { scheme, host: host.into(), port, private }
}

fn get(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
    }
}

/// Where a URL may reach under these grants.
fn reaches(grants: &[HttpGrant], url: &str) -> Result<Reach, OutboundError> {
    prepare("p", grants, get(url)).map(|(_, reach)| reach)
}

fn denial(grants: &[HttpGrant], url: &str) -> String {
    match reaches(grants, url) {
        Err(OutboundError::Denied(why)) => why,
        other => panic!("{url} should be denied: {other:?}"),
    }
}

fn invalid(request: OutboundRequest) -> String {
    match prepare("p", &[grant(Scheme::Https, "api.test", 443, false)], request) {
        Err(OutboundError::Invalid(why)) => why,
        other => panic!("should be invalid: {other:?}"),
    }
}

#[test]
fn only_what_is_granted_goes_out() {
    let grants = [grant(Scheme::Https, "api.test", 443, false)];
    for url in ["https://api.test/a?b", "https://API.test:443", "HTTPS://api.test/#fragment"] {
        assert_eq!(reaches(&grants, url), Ok(Reach::Public), "{url}");
    }
    for url in [
        "http://api.test/",
        "https://api.test:8443/",
        "https://a.api.test/",
        "https://api.test.evil.test/",
        "https://evil.test/api.test",
        "https://evil.test#api.test",
        "https://api.test./",
    ] {
        denial(&grants, url);
    }
}

#[test]
fn denial_says_what_to_grant_and_shows_no_query() {
    let why = denial(&[], "https://api.test:8443/path?token=s3cret");
    assert_eq!(
        why,
        "the config does not let it call https://api.test:8443; add \"api.test:8443\" to `grants.http` of [plugins.p]"
    );
    let why = denial(&[], "http://users.internal:8080/");
    assert!(why.contains(r#"add { url = "http://users.internal:8080", private = true } to"#), "{why}");
}

#[test]
fn star_stands_for_every_name_below() {
    let grants = [grant(Scheme::Https, "*.test", 443, false)];
    for url in ["https://a.test/", "https://a.b.test/"] {
        assert_eq!(reaches(&grants, url), Ok(Reach::Public), "{url}");
    }
    for url in ["https://test/", "https://atest/", "https://a.test.evil/"] {
        denial(&grants, url);
    }
}

#[test]
fn addresses_are_looked_at_in_every_notation() {
    for host in
        ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"]
    {
        let url = format!("http://{host}/");
        let known = Url::parse(&url).unwrap().host_str().unwrap().to_owned();
        let why = denial(&[grant(Scheme::Http, &known, 80, false)], &url);
        assert!(why.contains("private = true"), "{host}: {why}");
        assert_eq!(reaches(&[grant(Scheme::Http, &known, 80, true)], &url), Ok(Reach::Anywhere), "{host}");
    }
}

#[test]
fn what_cannot_be_sent_is_said() {
    for (url, part) in [
        ("api.test", "relative URL"),
        ("ftp://api.test/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://user:pw@api.test/", "credentials"),
        ("https://user@api.test/", "credentials"),
    ] {
        assert!(invalid(get(url)).contains(part), "{url}");
    }
    for method in ["", "GET IT", "CONNECT", "TRACE", "GET\r\n"] {
        invalid(OutboundRequest { method: method.into(), ..get("https://api.test/") });
    }
    for (name, value) in [
        ("host", "x"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("proxy-authorization", "x"),
        ("te", "trailers"),
        ("", "x"),
        ("a b", "x"),
        ("x", "a\r\nb: c"),
    ] {
        let headers = vec![(name.to_owned(), value.as_bytes().to_vec())];
        invalid(OutboundRequest { headers, ..get("https://api.test/") });
    }
}

/// A server that reads one request and answers as told; then says what it was asked.
async fn server(answer: Vec<u8>) -> (u16, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let len = socket.read(&mut asked).await.unwrap();
        let _ = socket.write_all(&answer).await;
        let _ = tell.send(String::from_utf8_lossy(&asked[..len]).into_owned());
        pending::<()>().await;
    });
    (port, told)
}

async fn send(port: u16, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
    let grants = [grant(Scheme::Http, "localhost", port, true)];
    Outbound::default().send("p", &grants, 64 << 20, request).await
}

fn local(port: u16) -> OutboundRequest {
    get(&format!("http://localhost:{port}/a?b=c"))
}

fn sized(len: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + len, b'x');
    answer
}

#[tokio::test]
async fn request_goes_out_as_it_is_and_the_response_comes_back() {
    let (port, asked) = server(
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nx-a: 1\r\nx-a: \xff\r\ncontent-encoding: gzip\r\n\r\nno".to_vec(),
    )
    .await;
    let request = OutboundRequest {
        method: "PUT".into(),
        headers: vec![("X-Key".into(), b"k".to_vec())],
        body: b"sent".to_vec(),
        ..local(port)
    };
    let response = send(port, request).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (404, &b"no"[..]));
    let values: Vec<_> = response.headers.iter().filter(|(name, _)| name == "x-a").collect();
    assert_eq!(values, [&("x-a".to_owned(), b"1".to_vec()), &("x-a".to_owned(), b"\xff".to_vec())]);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("PUT /a?b=c HTTP/1.1\r\n") && asked.contains("x-key: k\r\n"), "{asked}");
    assert!(
        asked.contains("content-length: 4\r\n") && asked.contains(&format!("host: localhost:{port}")),
        "{asked}"
    );
    assert!(!asked.contains("accept-encoding") && !asked.contains("cookie"), "{asked}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: https://elsewhere.test/\r\ncontent-length: 0\r\n\r\n";
    let (port, _asked) = server(answer.into()).await;
    assert_eq!(send(port, local(port)).await.unwrap().status, 302);
}

#[tokio::test]
async fn name_that_leads_to_ourselves_is_denied_unless_it_may() {
    let (port, _asked) = server(sized(0)).await;
    let grants = [grant(Scheme::Http, "localhost", port, false)];
    let denied = Outbound::default().send("p", &grants, 64 << 20, local(port)).await.unwrap_err();
    let OutboundError::Denied(why) = &denied else { panic!("{denied:?}") };
    assert!(why.contains("localhost") && why.contains("private = true"), "{why}");
    assert_eq!(send(port, local(port)).await.unwrap().status, 200);
}

#[tokio::test]
async fn response_is_cut_off_at_its_limit_whatever_it_says_of_its_length() {
    let (port, _asked) = server(sized(RESPONSE_MAX)).await;
    assert_eq!(send(port, local(port)).await, Err(OutboundError::TooLarge(RESPONSE_MAX)));
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(2 * RESPONSE_MAX, b'x');
    let (port, _asked) = server(endless).await;
    assert_eq!(send(port, local(port)).await, Err(OutboundError::TooLarge(RESPONSE_MAX)));
    let (port, _asked) = server(sized(RESPONSE_MAX - 100)).await;
    assert_eq!(send(port, local(port)).await.unwrap().body.len(), RESPONSE_MAX - 100);
}

#[tokio::test]
async fn small_plugin_gets_small_responses() {
    let (port, _asked) = server(sized(3000)).await;
    let grants = [grant(Scheme::Http, "localhost", port, true)];
    let refused = Outbound::default().send("p", &grants, 8192, local(port)).await;
    assert_eq!(refused, Err(OutboundError::TooLarge(2048)));
}

#[tokio::test]
async fn plugin_waits_no_longer_than_it_wants() {
    let (port, _asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow".to_vec()).await;
    let patience = Duration::from_millis(50);
    let request = OutboundRequest { timeout: Some(patience), ..local(port) };
    assert_eq!(send(port, request).await, Err(OutboundError::Timeout(patience)));
}

#[tokio::test]
async fn failure_shows_no_query() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let OutboundError::Failed(why) = send(port, local(port)).await.unwrap_err() else { panic!() };
    assert!(why.contains("failed to connect") && !why.contains("b=c"), "{why}");
}
