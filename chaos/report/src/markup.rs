//! Elements of HTML and SVG. Everything that goes into one as text or as an
//! attribute is escaped here, so that no caller can forget it: a scenario's words
//! and a system's error strings are other people's.

use std::fmt::{Display, Write as _};

/// Markup that is safe to put into a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Markup(String);

impl Markup {
    pub(crate) fn text(text: impl Display) -> Self {
        let mut out = String::new();
        escape_into(&mut out, &text.to_string());
        Self(out)
    }

    pub(crate) fn push(&mut self, more: impl Into<Self>) {
        self.0.push_str(&more.into().0);
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Nothing where there is nothing.
impl<T: Into<Self>> From<Option<T>> for Markup {
    fn from(maybe: Option<T>) -> Self {
        maybe.map(Into::into).unwrap_or_default()
    }
}

impl From<El> for Markup {
    fn from(el: El) -> Self {
        let El { name, attrs, body } = el;
        if VOID.contains(&name) {
            return Self(format!("<{name}{attrs}>"));
        }
        Self(format!("<{name}{attrs}>{body}</{name}>"))
    }
}

impl<T: Into<Self>> FromIterator<T> for Markup {
    fn from_iter<I: IntoIterator<Item = T>>(parts: I) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.push(part));
        all
    }
}

const VOID: [&str; 3] = ["meta", "input", "br"];

/// One element.
#[derive(Clone, Debug)]
pub(crate) struct El {
    name: &'static str,
    attrs: String,
    body: String,
}

/// Begins an element.
pub(crate) fn el(name: &'static str) -> El {
    El {
        name,
        attrs: String::new(),
        body: String::new(),
    }
}

impl El {
    pub(crate) fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        let _ = write!(self.attrs, " {name}=\"");
        escape_into(&mut self.attrs, &value.to_string());
        self.attrs.push('"');
        self
    }

    /// An attribute without a value, such as `hidden`.
    pub(crate) fn flag(mut self, name: &'static str) -> Self {
        let _ = write!(self.attrs, " {name}");
        self
    }

    pub(crate) fn class(self, names: impl Display) -> Self {
        self.attr("class", names)
    }

    pub(crate) fn id(self, id: impl Display) -> Self {
        self.attr("id", id)
    }

    pub(crate) fn text(self, text: impl Display) -> Self {
        self.child(Markup::text(text))
    }

    pub(crate) fn child(mut self, child: impl Into<Markup>) -> Self {
        self.body.push_str(&child.into().0);
        self
    }

    pub(crate) fn children<T: Into<Markup>>(mut self, all: impl IntoIterator<Item = T>) -> Self {
        all.into_iter()
            .for_each(|c| self.body.push_str(&c.into().0));
        self
    }

    /// JSON in a block that no browser runs. `<` is written so that nothing in it
    /// can end the block.
    pub(crate) fn json(mut self, json: &str) -> Self {
        self.body.push_str(&json.replace('<', "\\u003c"));
        self
    }

    /// The page's own script or style, which must be in it byte for byte.
    pub(crate) fn asset(mut self, text: &str) -> Self {
        self.body.push_str(text);
        self
    }
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, and they could hide what follows.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// A part of an id, from any text: what isn't plain becomes a hyphen.
pub(crate) fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let hostile = "\"><script>alert('1')</script>&\u{0}";
        let made: Markup = el("a").attr("title", hostile).text(hostile).into();
        let html = made.into_string();
        assert_eq!(html.matches('<').count(), 2, "{html}");
        assert_eq!(html.matches('"').count(), 2, "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)"));
        assert!(!html.contains('\u{0}'));
    }

    #[test]
    fn json_can_not_end_its_block() {
        let made: Markup = el("script").json(r#"{"a":"</script><b>"}"#).into();
        assert_eq!(made.into_string().matches("</script").count(), 1);
    }

    #[test]
    fn void_elements_have_no_end() {
        let made: Markup = el("meta").attr("charset", "utf-8").into();
        assert_eq!(made.into_string(), "<meta charset=\"utf-8\">");
        assert_eq!(slug("order-product.1 <x>"), "order-product-1--x-");
    }
}
