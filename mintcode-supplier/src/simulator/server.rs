//! The routes: the supplier's under `/v1`, and the control surface under `/sim`.

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::Simulator;
use super::books::{Books, Purchase, Refusal, Sale, Shelf, Status};
use super::faults::{ArmedFault, Arming, Fault, Route};
use super::line::Switch;
use super::scenario::is_slug;
use super::shown::{self, View};
use super::sms::Quirk;

mod answer;

use answer::Answer;

/// Everything the simulator serves.
pub(super) fn router(simulator: Simulator) -> Router {
    let supplier = Router::new()
        .route("/user/profile", get(profile))
        .route("/user/orders", get(orders))
        .route("/user/payments", get(payments))
        .route("/user/buy/activation/{country}/{operator}/{product}", get(buy))
        .route("/user/check/{id}", get(check))
        .route("/user/finish/{id}", get(finish))
        .route("/user/cancel/{id}", get(cancel))
        .route("/user/ban/{id}", get(ban))
        .route("/guest/countries", get(countries))
        .route("/guest/products/{country}/{operator}", get(products))
        .route("/guest/prices", get(prices));
    let control =
        Router::new().route("/books", get(books)).route("/faults", post(arm).get(armed).delete(disarm));
    Router::new().nest("/v1", supplier).nest("/sim", control).fallback(nowhere).with_state(simulator)
}

/// One call of the supplier's routes.
struct Call {
    simulator: Simulator,
    headers: HeaderMap,
    /// Missing where the router runs on a listener other than the simulator's own.
    switch: Option<Switch>,
}

impl FromRequestParts<Simulator> for Call {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, simulator: &Simulator) -> Result<Self, Self::Rejection> {
        let switch = parts.extensions.get::<ConnectInfo<Switch>>().map(|ConnectInfo(switch)| switch.clone());
        Ok(Self { simulator: simulator.clone(), headers: parts.headers.clone(), switch })
    }
}

impl Call {
    /// Answers a call that needs the key.
    async fn answer(
        self,
        route: Route,
        work: impl FnOnce(&mut Books, Option<&Arming>, DateTime<Utc>) -> Answer,
    ) -> Response {
        if self.has_key() {
            self.answer_anyone(route, work).await
        } else {
            Answer::text(StatusCode::UNAUTHORIZED, "").into_response()
        }
    }

    /// Answers a call, unless a fault strikes it before or after its work.
    async fn answer_anyone(
        self,
        route: Route,
        work: impl FnOnce(&mut Books, Option<&Arming>, DateTime<Utc>) -> Answer,
    ) -> Response {
        let struck = self.simulator.strike(route);
        let fault = struck.as_ref().map(|arming| arming.name);
        if let Some(fault) = fault {
            tracing::info!(?route, fault = fault.name(), "A fault strikes");
        }
        if fault == Some(Fault::BuyRefusedBefore) {
            return self.hang_up();
        }
        let instead = struck.as_ref().and_then(Answer::instead);
        if let (Some(answer), Some(false)) = (&instead, struck.as_ref().map(|arming| arming.after_work)) {
            return answer.clone().into_response();
        }
        let answer = self.simulator.with_books(|books, now| work(books, struck.as_ref(), now));
        tracing::debug!(?route, status = answer.status.as_u16(), "Answered");
        match (fault, instead) {
            (_, Some(instead)) => instead.into_response(),
            (
                Some(
                    Fault::BuyAnswerLost
                    | Fault::CheckAnswerLost
                    | Fault::FinishAnswerLost
                    | Fault::CancelAnswerLost
                    | Fault::BanAnswerLost,
                ),
                None,
            ) => self.hang_up(),
            (Some(Fault::TruncatedBody), None) => answer.truncated().into_response(),
            (Some(Fault::SlowAnswer), None) => {
                let delay = struck.and_then(|arming| arming.delay).unwrap_or(answer::SLOW);
                tokio::time::sleep(delay).await;
                answer.into_response()
            }
            _ => answer.into_response(),
        }
    }

    /// Drops the connection; a gateway's time-out, as unclear, where it cannot be dropped.
    fn hang_up(&self) -> Response {
        if let Some(switch) = &self.switch {
            switch.hang_up();
        }
        Answer::gateway(StatusCode::GATEWAY_TIMEOUT).into_response()
    }

    fn has_key(&self) -> bool {
        let sent = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
        match (self.simulator.api_key(), sent) {
            (Some(key), Some(sent)) => key.expose_secret() == sent,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// Does something to the order of this id.
    async fn order(
        self,
        route: Route,
        id: String,
        work: impl FnOnce(&mut Books, u64, DateTime<Utc>) -> Result<&Sale, Refusal>,
    ) -> Response {
        let Ok(id) = id.parse::<u64>() else { return Answer::moved().into_response() };
        let answer = |books: &mut Books, struck: Option<&Arming>, now| {
            let fault = struck.map(|arming| arming.name);
            if fault == Some(Fault::SmsBetweenCheckAndCancel) {
                books.deliver(id, now);
            }
            match work(books, id, now) {
                Ok(sale) => Answer::json(shown::order(sale, View::Checked, odd_status(fault))),
                // The same unknown id is a 404 on a look and a 400 elsewhere.
                Err(refusal @ Refusal::OrderNotFound) if route == Route::Check => {
                    Answer::text(StatusCode::NOT_FOUND, &refusal.to_string())
                }
                Err(refusal) => refusal.into(),
            }
        };
        self.answer(route, answer).await
    }
}

fn odd_status(fault: Option<Fault>) -> Option<&'static str> {
    (fault == Some(Fault::UnknownStatus)).then_some("HIBERNATING")
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        // A stock-out is a success as far as HTTP goes.
        let status = if refusal == Refusal::NoFreePhones { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        Self::text(status, &refusal.to_string())
    }
}

async fn profile(call: Call) -> Response {
    call.answer(Route::Profile, |books, _, now| {
        let (balance, rating_milli, open) = books.account(now);
        Answer::json(shown::profile(books.seed(), balance, rating_milli, open))
    })
    .await
}

/// Which part of a list is wanted. Everything is text there, and what cannot be read counts as missing.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Page {
    category: String,
    limit: String,
    offset: String,
    reverse: String,
}

impl Page {
    fn of<'a, T: 'a>(&self, rows: impl DoubleEndedIterator<Item = &'a T>) -> Vec<&'a T> {
        let (limit, offset) = (self.limit.parse().unwrap_or(15), self.offset.parse().unwrap_or(0));
        if self.reverse == "true" {
            rows.rev().skip(offset).take(limit).collect()
        } else {
            rows.skip(offset).take(limit).collect()
        }
    }
}

async fn orders(call: Call, Query(page): Query<Page>) -> Response {
    call.answer(Route::Orders, |books, struck, now| {
        let stale = struck.filter(|arming| arming.name == Fault::StaleOrderList);
        let stale = stale.map(|arming| TimeDelta::from_std(arming.delay.unwrap_or(answer::STALE)));
        let newest = stale.map_or(now, |age| now - age.unwrap_or(TimeDelta::days(1)));
        // Nothing but activations is sold here.
        let is_listed = |sale: &&Sale| page.category == "activation" && sale.created_at <= newest;
        Answer::json(shown::orders(page.of(books.sales(now).filter(is_listed)).into_iter()))
    })
    .await
}

async fn payments(call: Call, Query(page): Query<Page>) -> Response {
    call.answer(Route::Payments, |books, _, now| {
        let payments = books.payments(now);
        Answer::json(shown::payments(page.of(payments.iter()).into_iter(), payments.len()))
    })
    .await
}

#[derive(Deserialize)]
struct Cap {
    #[serde(default, rename = "maxPrice")]
    max_price: Option<String>,
}

async fn buy(call: Call, Path(path): Path<(String, String, String)>, Query(cap): Query<Cap>) -> Response {
    let (country, operator, product) = path;
    if ![&country, &operator, &product].into_iter().all(|segment| is_slug(segment)) {
        return Answer::moved().into_response();
    }
    let max_price = cap.max_price.and_then(|price| price.parse().ok());
    call.answer(Route::Buy, |books, struck, now| {
        let fault = struck.map(|arming| arming.name);
        let quirk = match fault {
            Some(Fault::SmsWithoutCode) => Quirk::CodeInTextOnly,
            Some(Fault::SecondMessageWithoutCode) => Quirk::WelcomeAfterwards,
            _ => Quirk::None,
        };
        let is_dear = fault == Some(Fault::PriceHigherThanListed);
        let (country, operator, product) = (&*country, &*operator, &*product);
        match books.buy(&Purchase { country, operator, product, max_price, quirk, is_dear }, now) {
            Ok(sale) => {
                tracing::info!(order = sale.id, country, operator = sale.operator, product, "Sold a number");
                Answer::json(shown::order(sale, View::Bought, odd_status(fault)))
            }
            Err(refusal) => refusal.into(),
        }
    })
    .await
}

async fn check(call: Call, Path(id): Path<String>) -> Response {
    call.order(Route::Check, id, Books::check).await
}

async fn finish(call: Call, Path(id): Path<String>) -> Response {
    call.order(Route::Finish, id, Books::finish).await
}

async fn cancel(call: Call, Path(id): Path<String>) -> Response {
    call.order(Route::Cancel, id, |books, id, now| books.give_back(id, Status::Canceled, now)).await
}

async fn ban(call: Call, Path(id): Path<String>) -> Response {
    call.order(Route::Ban, id, |books, id, now| books.give_back(id, Status::Banned, now)).await
}

async fn countries(call: Call) -> Response {
    call.answer_anyone(Route::Countries, |books, _, _| Answer::json(shown::countries(books.shelves()))).await
}

fn fits(wanted: &str, slug: &str) -> bool {
    wanted == "any" || wanted == slug
}

async fn products(call: Call, Path((country, operator)): Path<(String, String)>) -> Response {
    if !is_slug(&country) || !is_slug(&operator) {
        return Answer::moved().into_response();
    }
    call.answer_anyone(Route::Products, |books, _, _| {
        let of_country = |shelf: &&Shelf| fits(&country, &shelf.line.country);
        let of_operator = |shelf: &&Shelf| fits(&operator, &shelf.line.operator);
        let mut shelves = books.shelves().iter().filter(of_country).peekable();
        if shelves.peek().is_none() {
            return Refusal::BadCountry.into();
        }
        let mut shelves = shelves.filter(of_operator).peekable();
        if shelves.peek().is_none() {
            return Refusal::BadOperator.into();
        }
        Answer::json(shown::products(shelves, books.seed()))
    })
    .await
}

#[derive(Deserialize)]
struct Which {
    country: Option<String>,
    product: Option<String>,
}

async fn prices(call: Call, Query(which): Query<Which>) -> Response {
    let Which { country, product } = which;
    call.answer_anyone(Route::Prices, |books, _, _| {
        let is = |wanted: &Option<String>, slug: &str| wanted.as_ref().is_none_or(|wanted| wanted == slug);
        if !books.shelves().iter().any(|shelf| is(&country, &shelf.line.country)) {
            return Answer::text(StatusCode::BAD_REQUEST, "country is incorrect");
        }
        if !books.shelves().iter().any(|shelf| is(&product, &shelf.line.product)) {
            return Answer::text(StatusCode::BAD_REQUEST, "product is incorrect");
        }
        let fitting = |shelf: &&Shelf| is(&country, &shelf.line.country) && is(&product, &shelf.line.product);
        let is_swapped = country.is_none() && product.is_some();
        Answer::json(shown::prices(books.shelves().iter().filter(fitting), books.seed(), is_swapped))
    })
    .await
}

async fn nowhere(uri: Uri) -> Response {
    if uri.path().starts_with("/v1") { Answer::moved() } else { Answer::page_not_found() }.into_response()
}

async fn books(State(simulator): State<Simulator>) -> Response {
    let json = HeaderValue::from_static("application/json");
    let books = serde_json::to_string(&simulator.books()).expect("the books have text keys only");
    ([(header::CONTENT_TYPE, json)], books).into_response()
}

async fn arm(State(simulator): State<Simulator>, Json(arming): Json<Arming>) -> Response {
    match simulator.arm(arming) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, problem.to_string()).into_response(),
    }
}

async fn armed(State(simulator): State<Simulator>) -> Json<Vec<ArmedFault>> {
    Json(simulator.armed())
}

async fn disarm(State(simulator): State<Simulator>) -> StatusCode {
    simulator.disarm();
    StatusCode::NO_CONTENT
}
