//! Tells the operator of alerts through a webhook, signed as Standard Webhooks are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use mintcode_core::ports::{AlertError, AlertRow, AlertSink, Clock};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Serialize;
use sha2::Sha256;

/// The longest a webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How secrets begin that are bytes in Base64.
const ENCODED_SECRET: &str = "whsec_";

/// Posts every alert as JSON to a URL of the operator: `{"type": "alert.raised", "timestamp", "data": {"id", "kind", …,
/// "raised_at"}}`. Any 2xx counts as told; redirects are not followed.
///
/// With a secret, the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` prove where it comes from.
/// Neither errors nor `Debug` show the URL or the secret.
pub struct WebhookAlerts {
    client: reqwest::Client,
    url: Url,
    key: Option<SecretSlice<u8>>,
    clock: Arc<dyn Clock>,
}

/// Why no [`WebhookAlerts`] can be made. Neither the URL nor the secret is in it: both may be secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No URL that can be posted to.
    #[error("a webhook is an http or https URL such as \"https://example.org/alerts\"")]
    Url,
    /// No secret that can sign.
    #[error("a webhook's secret is \"whsec_\" and Base64 behind it, or any other text that is not empty")]
    Secret,
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// The webhook answered with a status that is no success.
#[derive(Debug, thiserror::Error)]
#[error("the webhook answered {0}")]
struct Refused(StatusCode);

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: DateTime<Utc>,
    data: &'a AlertRow,
}

impl WebhookAlerts {
    /// Posts to `url`, signed with `secret` if there is one.
    ///
    /// # Errors
    ///
    /// See [`WebhookError`].
    pub fn new(
        url: &str,
        secret: Option<&SecretString>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_| WebhookError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebhookError::Url);
        }
        let key = secret.map(|secret| key(secret.expose_secret()).ok_or(WebhookError::Secret)).transpose()?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error says that another thread was first, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!("mintcode/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(WebhookError::Client)?;
        Ok(Self { client, url, key, clock })
    }

    async fn post(&self, alert: &AlertRow) -> Result<StatusCode, reqwest::Error> {
        let payload = Payload { kind: "alert.raised", timestamp: alert.raised_at, data: alert };
        let body = serde_json::to_vec(&payload).expect("an alert has nothing that JSON cannot hold");
        let id = format!("alert_{}", alert.id);
        let timestamp = self.clock.now().timestamp();
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        if let Some(key) = &self.key {
            let signature = signature(key.expose_secret(), &id, timestamp, &body);
            request = request.header("webhook-signature", signature);
        }
        let answer = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
        Ok(answer.status())
    }
}

#[async_trait]
impl AlertSink for WebhookAlerts {
    async fn tell(&self, alert: &AlertRow) -> Result<(), AlertError> {
        match self.post(alert).await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(AlertError(Refused(status).into())),
            Err(error) => Err(AlertError(error.into())),
        }
    }
}

impl fmt::Debug for WebhookAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookAlerts").field("signs", &self.key.is_some()).finish_non_exhaustive()
    }
}

/// The bytes that sign, from the secret as it is configured.
fn key(secret: &str) -> Option<SecretSlice<u8>> {
    let bytes = match secret.strip_prefix(ENCODED_SECRET) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok()?,
        None => secret.as_bytes().to_vec(),
    };
    (!bytes.is_empty()).then(|| bytes.into())
}

/// The `webhook-signature` of a message.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_standards_own_example_is() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(key.expose_secret(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_text_or_bytes_in_base64() {
        assert_eq!(key("plain").unwrap().expose_secret(), b"plain");
        assert_eq!(key("whsec_AAEC").unwrap().expose_secret(), [0, 1, 2]);
        for bad in ["", "whsec_", "whsec_not base64"] {
            assert!(key(bad).is_none(), "{bad}");
        }
    }
}
