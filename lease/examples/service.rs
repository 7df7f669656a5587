//! A service on axum and redb that a browser can be pointed at: a page with the leases and what they have
//! left, and forms to register, renew and revoke. Nothing blocks tokio's one thread. It survives `kill -9`
//! with all that it has acknowledged, and Ctrl-C ends it in an orderly way.
//!
//! Run it with `cargo run -p lease --features async --example service`, and open
//! <http://127.0.0.1:8080>.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use lease::prelude::*;
use lease::{Lease, LeaseIdError};
use serde::Deserialize;
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "service.redb".into());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    // To open a file blocks: before there is a runtime.
    let lessor = BackendLessor::standalone(Arc::new(RedbBackend::open(path)?))?;
    let lessor = AsyncLessor::new(lessor)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(lessor, &address))
}

async fn serve(lessor: AsyncLessor, address: &str) -> Result<(), Box<dyn Error>> {
    let router = Router::new()
        .route("/", get(page))
        .route("/register", post(register))
        .route("/renew", post(renew))
        .route("/revoke", post(revoke))
        .with_state(lessor.clone());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, router)
        .with_graceful_shutdown(ctrl_c)
        .await?;
    lessor.shutdown().await?;
    println!("stopped");
    Ok(())
}

/// What went wrong, for who asked.
struct Failure(String);

type Answer<T> = Result<T, (StatusCode, String)>;

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        Self(error.to_string())
    }
}

impl From<LeaseIdError> for Failure {
    fn from(error: LeaseIdError) -> Self {
        Self(error.to_string())
    }
}

impl From<Failure> for (StatusCode, String) {
    fn from(failure: Failure) -> Self {
        (StatusCode::CONFLICT, failure.0)
    }
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    secs: u64,
}

async fn register(
    State(lessor): State<AsyncLessor>,
    Form(form): Form<Registration>,
) -> Answer<Redirect> {
    let register = async {
        let id = lessor.grant_new(Duration::from_secs(form.secs)).await?.id();
        lessor.attach(id, &[form.name.as_str().into()]).await
    };
    register.await.map_err(Failure::from)?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Chosen {
    id: String,
}

impl Chosen {
    fn id(&self) -> Result<LeaseId, Failure> {
        Ok(self.id.parse()?)
    }
}

async fn renew(State(lessor): State<AsyncLessor>, Form(form): Form<Chosen>) -> Answer<Redirect> {
    // It waits where the lease has just expired; a browser does not wait for ever.
    let renewed = tokio::time::timeout(Duration::from_secs(5), lessor.renew(form.id()?)).await;
    let renewed = renewed.unwrap_or(Err(LeaseError::DeadlineExceeded));
    renewed.map_err(Failure::from)?;
    Ok(Redirect::to("/"))
}

async fn revoke(State(lessor): State<AsyncLessor>, Form(form): Form<Chosen>) -> Answer<Redirect> {
    lessor.revoke(form.id()?).await.map_err(Failure::from)?;
    Ok(Redirect::to("/"))
}

async fn page(State(lessor): State<AsyncLessor>) -> Answer<Html<String>> {
    let mut leases = Vec::new();
    loop {
        let after = leases.last().map(Lease::id);
        let more = lessor.page(after, 1000).await.map_err(Failure::from)?;
        if more.is_empty() {
            break;
        }
        leases.extend(more);
    }
    leases.sort_by_key(|lease| (lease.remaining(), lease.id()));
    let mut html = String::from(HEAD);
    for lease in &leases {
        row(&mut html, lease);
    }
    html.push_str("</table>");
    Ok(Html(html))
}

fn row(html: &mut String, lease: &Lease) {
    let id = lease.id();
    let items = lease.keys().iter().map(|item| escaped(&item.to_string()));
    let items = items.collect::<Vec<_>>().join(", ");
    let left = lease.remaining().unwrap_or_default().as_secs();
    let form = |to: &str| {
        format!("<form method=post action=/{to}><button name=id value={id}>{to}</button></form>")
    };
    write!(
        html,
        "<tr><td>{items}<td>{left} s of {}<td><code>{id}</code><td>{} {}",
        lease.ttl(),
        form("renew"),
        form("revoke"),
    )
    .expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html><meta charset=utf-8><title>Leases</title>\
<meta name=viewport content='width=device-width'>\
<style>body{font:16px sans-serif;margin:2em auto;max-width:50em;padding:0 1em}\
td{padding:.3em 1em .3em 0}form{display:inline}[type=number]{width:5em}\
@media(max-width:40em){td{display:block;padding:0}tr{display:block;margin:1em 0}}</style>\
<h1>Leases</h1>\
<form method=post action=/register><input name=name placeholder=name required> for \
<input name=secs type=number min=1 value=60> s <button>register</button></form>\
<script>setInterval(()=>{document.querySelector('input').value||location.reload()},5000)</script>\
<table>";
