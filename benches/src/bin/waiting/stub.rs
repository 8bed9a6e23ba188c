//! A supplier that sells nothing: it shows orders that are all waited for, newest first, and notes what it is asked.
//!
//! It speaks the REST protocol and runs in a process of its own. What it is told comes in lines on its standard input;
//! each is answered by one line on its standard output:
//!
//! | line | does | answer |
//! | --- | --- | --- |
//! | `page ROWS` | lists have so many rows from now on, whatever the request asks for | `{}` |
//! | `sms NUMBER` | the order of that number has an SMS from now on | `{}` |
//! | `reset` | forgets all requests | `{}` |
//! | `window` | begins to count rows and the time between looks anew | `{}` |
//! | `report` | | a [`Report`] |

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::{Error, orders};

/// What the stub was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests since the last `reset`.
    pub(crate) requests: usize,
    /// Most of them within one second, wherever it begins.
    pub(crate) most_in_a_second: usize,
    /// Pages of the list since the last `window`.
    pub(crate) pages: usize,
    /// Looks at a single order since then.
    pub(crate) singles: usize,
    /// Rows given out since then, on pages and one by one.
    pub(crate) rows: usize,
    /// From one look at an order to the next, since then.
    pub(crate) interval: Interval,
}

/// Times between two looks at the same order, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) p99: f64,
    pub(crate) longest: f64,
}

/// What an order looks like.
struct Row {
    shown: String,
    seen_at: Option<Instant>,
}

/// What is shown, and what was asked.
struct Books {
    /// Newest first.
    rows: Vec<Row>,
    page: usize,
    requests: Vec<Instant>,
    pages: usize,
    singles: usize,
    given: usize,
    gaps: Vec<Duration>,
}

type Shared = Arc<Mutex<Books>>;

/// Serves `count` orders until the standard input ends. The first line on the standard output is the port.
pub(crate) fn run(count: &str) -> Result<(), Error> {
    let count: u32 = count.parse()?;
    let books = Arc::new(Mutex::new(Books::new(count)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(books))
}

async fn serve(books: Shared) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let app = Router::new()
        .route("/v1/user/orders", get(list))
        .route("/v1/user/check/{id}", get(check))
        .route("/v1/user/finish/{id}", get(finish))
        .route("/v1/user/profile", get(profile))
        .with_state(Arc::clone(&books));
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        obey(&books);
        ended.send(())
    });
    tokio::select! {
        served = async { axum::serve(listener, app).await } => Ok(served?),
        // An error would say that whoever gives the orders is gone, which ends it as well.
        _ = end => Ok(()),
    }
}

/// Does as the lines on the standard input say, until they end.
fn obey(books: &Shared) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = lock(books).told(&line);
        let mut output = std::io::stdout();
        if writeln!(output, "{answer}").and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

#[derive(Deserialize)]
struct Slice {
    offset: usize,
}

async fn list(State(books): State<Shared>, Query(slice): Query<Slice>) -> String {
    lock(&books).list(slice.offset, Instant::now())
}

async fn check(State(books): State<Shared>, Path(id): Path<u64>) -> Result<String, StatusCode> {
    lock(&books).check(id, Instant::now()).ok_or(StatusCode::NOT_FOUND)
}

async fn finish(State(books): State<Shared>, Path(id): Path<u64>) -> Result<String, StatusCode> {
    let mut books = lock(&books);
    books.requests.push(Instant::now());
    let row = books.row(id).ok_or(StatusCode::NOT_FOUND)?;
    row.shown = row.shown.replace("RECEIVED", "FINISHED");
    Ok(row.shown.clone())
}

async fn profile(State(books): State<Shared>) -> &'static str {
    lock(&books).requests.push(Instant::now());
    r#"{"id":1,"email":"a@b.c","balance":100000,"rating":96,"default_country":{"name":"canada"},"frozen_balance":0}"#
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    fn new(count: u32) -> Self {
        let rows =
            (1..=count).rev().map(|number| Row { shown: shown(number, "[]"), seen_at: None }).collect();
        Self { rows, page: 100, requests: Vec::new(), pages: 0, singles: 0, given: 0, gaps: Vec::new() }
    }

    fn list(&mut self, offset: usize, now: Instant) -> String {
        self.requests.push(now);
        self.pages += 1;
        let from = offset.min(self.rows.len());
        let to = (from + self.page).min(self.rows.len());
        let mut page = String::with_capacity(64 + (to - from) * 320);
        page.push_str(r#"{"Data":["#);
        for (place, row) in self.rows[from..to].iter_mut().enumerate() {
            if place > 0 {
                page.push(',');
            }
            page.push_str(&row.shown);
            self.gaps.extend(row.seen_at.replace(now).map(|seen_at| now - seen_at));
        }
        self.given += to - from;
        page.push_str(r#"],"ProductNames":[],"Statuses":[],"Total":999999}"#);
        page
    }

    fn check(&mut self, id: u64, now: Instant) -> Option<String> {
        self.requests.push(now);
        self.singles += 1;
        let row = self.row(id)?;
        let (shown, seen_at) = (row.shown.clone(), row.seen_at.replace(now));
        self.gaps.extend(seen_at.map(|seen_at| now - seen_at));
        self.given += 1;
        Some(shown)
    }

    fn row(&mut self, id: u64) -> Option<&mut Row> {
        let number = usize::try_from(orders::number(id)?).ok()?;
        let place = self.rows.len().checked_sub(number)?;
        self.rows.get_mut(place)
    }

    fn told(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let done = match words[..] {
            ["page", rows] => rows.parse().ok().map(|rows| self.page = rows),
            ["sms", number] => number.parse().ok().and_then(|number| self.receive(number)),
            ["reset"] => {
                self.requests.clear();
                Some(())
            }
            ["window"] => {
                self.begin_window();
                Some(())
            }
            ["report"] => return serde_json::json!(self.report()).to_string(),
            _ => None,
        };
        if done.is_some() { "{}".to_owned() } else { format!("not understood: {line}") }
    }

    fn receive(&mut self, number: u32) -> Option<()> {
        let date = orders::created_at(number).to_rfc3339_opts(SecondsFormat::Micros, true);
        let sms = format!(
            r#"[{{"created_at":"{date}","date":"{date}","sender":"Telegram","text":"Telegram code {number:06}","code":"{number:06}"}}]"#
        );
        self.row(orders::id(number))?.shown = shown(number, &sms);
        Some(())
    }

    fn begin_window(&mut self) {
        (self.pages, self.singles, self.given) = (0, 0, 0);
        self.gaps.clear();
        for row in &mut self.rows {
            row.seen_at = None;
        }
    }

    fn report(&mut self) -> Report {
        Report {
            requests: self.requests.len(),
            most_in_a_second: most_within(&self.requests, Duration::from_secs(1)),
            pages: self.pages,
            singles: self.singles,
            rows: self.given,
            interval: Interval::of(&mut self.gaps),
        }
    }
}

impl Interval {
    fn of(gaps: &mut [Duration]) -> Self {
        gaps.sort_unstable();
        let millis = |gap: &Duration| gap.as_secs_f64() * 1e3;
        let Some(longest) = gaps.last() else { return Self::default() };
        let count = u32::try_from(gaps.len()).unwrap_or(u32::MAX);
        let mean = gaps.iter().sum::<Duration>() / count;
        Self { mean: millis(&mean), p99: millis(&gaps[gaps.len() * 99 / 100]), longest: millis(longest) }
    }
}

/// The most of `times`, which are in order, that lie within one span of that length.
fn most_within(times: &[Instant], length: Duration) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (place, time) in times.iter().enumerate() {
        while *time - times[from] >= length {
            from += 1;
        }
        most = most.max(place - from + 1);
    }
    most
}

/// An order as a row of the list shows it, and as a look at it alone does.
fn shown(number: u32, sms: &str) -> String {
    let date = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (created_at, expires) = (date(orders::created_at(number)), date(orders::expires_at(number)));
    let (id, phone, wanted) = (orders::id(number), orders::phone(number), orders::wanted());
    let (product, country, operator) = (wanted.product, wanted.country, wanted.operator);
    format!(
        r#"{{"id":{id},"phone":"{phone}","operator":"{operator}","product":"{product}","price":0.1359,"status":"RECEIVED","expires":"{expires}","sms":{sms},"created_at":"{created_at}","country":"{country}"}}"#
    )
}
