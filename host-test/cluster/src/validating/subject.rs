//! What a request is about: an object that the request holds, or that is still text.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use podfence_cel::{Inputs, Written};
use podfence_scan::AdmissionRequest;
use serde_json::Value;

use crate::conditions;
use crate::matching::{Matching, Namespaces, UnknownLabel, selects, selects_one};

/// A request that creates an object of which there is the text.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'a> {
    /// The request, without the object.
    pub request: &'a AdmissionRequest,
    /// The labels of the object.
    pub labels: &'a BTreeMap<String, String>,
    /// The object as JSON.
    pub json: &'a str,
}

/// A request with its object.
pub(super) enum Subject<'a> {
    /// The request holds it.
    Request(&'a AdmissionRequest),
    /// It is text, which is read for places as a whole, once, if it is long.
    Creation(Creation<'a>, OnceCell<Option<Value>>),
}

/// How many bytes of text are read for each place anew, and no more of them than the place needs.
const SHORT: usize = 16 << 10;

impl<'a> Subject<'a> {
    pub fn request(&self) -> &'a AdmissionRequest {
        match self {
            Subject::Request(request) | Subject::Creation(Creation { request, .. }, _) => request,
        }
    }

    /// See [`Matching::sees`].
    pub fn seen_by(
        &self,
        matching: &Matching,
        namespaces: &Namespaces,
    ) -> Result<Option<Cow<'a, AdmissionRequest>>, UnknownLabel> {
        matching.sees_selected(self.request(), |selector| self.is_selected(selector), namespaces)
    }

    /// See [`Matching::needs_conversion`].
    pub fn needs_conversion(&self, matching: &Matching) -> Option<String> {
        matching.needs_conversion(self.request(), |selector| self.is_selected(selector))
    }

    fn is_selected(&self, selector: &LabelSelector) -> bool {
        match self {
            Subject::Request(request) => selects_one(selector, request),
            Subject::Creation(of, _) => selects(selector, |key| of.labels.get(key).map(String::as_str)),
        }
    }

    /// What expressions read of it, where a policy sees it as this request, which may be one of another API.
    pub fn inputs(&self, seen: &AdmissionRequest, is_converted: bool) -> Result<Inputs, serde_json::Error> {
        match self {
            Subject::Request(_) => Ok(conditions::stored_inputs(seen)),
            Subject::Creation(of, _) => conditions::created_inputs(seen, of.json, is_converted),
        }
    }

    /// The object, or the one that is deleted, as it is written.
    pub fn object(&self) -> Option<Written<'_>> {
        match self {
            Subject::Request(request) => request.object.as_ref().or(request.old_object.as_ref()).map(Written::from),
            Subject::Creation(of, _) if of.json.len() <= SHORT => Some(Written::Text(of.json)),
            Subject::Creation(of, read) => {
                read.get_or_init(|| serde_json::from_str(of.json).ok()).as_ref().map(Written::from)
            }
        }
    }
}
