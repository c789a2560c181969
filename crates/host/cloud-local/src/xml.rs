//! Answers in XML.

/// An answer that grows.
#[derive(Debug, Default)]
pub struct Xml(String);

impl Xml {
    /// An element with text.
    pub fn text(&mut self, name: &str, value: &str) {
        let value = quick_xml::escape::escape(value);
        self.0 += &format!("<{name}>{value}</{name}>");
    }

    /// An element with others inside.
    pub fn with(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0 += &format!("<{name}>");
        inside(self);
        self.0 += &format!("</{name}>");
    }

    /// A list, each entry in an element `item`.
    pub fn list<T>(
        &mut self,
        name: &str,
        entries: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.with(name, |list| {
            for entry in entries {
                list.with("item", |item| each(item, entry));
            }
        });
    }

    /// The document: one element of a namespace.
    pub fn document(root: &str, namespace: &str, inside: impl FnOnce(&mut Self)) -> String {
        let mut body = Self::default();
        inside(&mut body);
        body.into_document(root, namespace)
    }

    /// What has grown, as a document.
    pub fn into_document(self, root: &str, namespace: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{namespace}\">{}</{root}>",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Xml;

    #[test]
    fn text_never_becomes_an_element() {
        let told = Xml::document("A", "n", |xml| xml.text("B", "<C/>&\""));
        assert!(told.ends_with("<A xmlns=\"n\"><B>&lt;C/&gt;&amp;&quot;</B></A>"));
    }
}
