//! The user's expressions about skbs and XDP buffers: what they mean on this kernel.

use super::PlanError;
use crate::btf::{Btf, Struct, TypeId, View};
use crate::expr::{self, Cond, Output, Root};
use crate::record::Object;
use std::fmt;

/// What the user asks of an object by expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The type of the object.
    pub id: TypeId,
    /// What must hold.
    pub filter: Option<Cond>,
    /// What is shown, in the order of the command line.
    pub shown: Vec<Shown>,
}

/// A value that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where it comes from and what it is.
    pub output: Output,
    /// Its key in JSON: the name, or the whole expression if another one has that name.
    pub key: String,
}

impl Shown {
    /// How many bytes of a text are shown.
    pub fn limit(&self) -> usize {
        match self.output.source {
            expr::Source::Text(_) => expr::MAX_TEXT as usize,
            _ => usize::MAX,
        }
    }
}

/// The flags that take expressions about an object, and what the object is called in them.
struct Flags {
    filter: &'static str,
    shown: &'static str,
    root: &'static str,
    type_name: &'static str,
}

const FLAGS: [Flags; 2] = [
    Flags { filter: "--filter-skb-expr", shown: "--output-skb-metadata", root: "skb", type_name: "sk_buff" },
    Flags { filter: "--filter-xdp-expr", shown: "--output-xdp-metadata", root: "xdp", type_name: "xdp_buff" },
];

impl Fields {
    /// Finds out what `filter` and `shown`, expressions about `object`, mean by the types of `btf`.
    pub fn new(btf: &Btf, object: Object, filter: Option<&str>, shown: &[String]) -> Result<Fields, PlanError> {
        if filter.is_none() && shown.is_empty() {
            return Ok(Fields::default());
        }
        let flags = &FLAGS[object as usize];
        let first = if filter.is_some() { flags.filter } else { flags.shown };
        let ty = btf
            .find::<Struct>(flags.type_name)
            .map_err(|error| PlanError::NoType { flag: first, error: error.to_string() })?
            .as_type();
        let root = Root { name: flags.root, ty };
        let wrong = |flag| move |error| PlanError::Field { flag, error };
        let filter = filter.map(|text| expr::condition(text, root)).transpose().map_err(wrong(flags.filter))?;
        let mut values = Vec::new();
        for text in shown {
            let output = expr::output(text, root).map_err(wrong(flags.shown))?;
            values.push(Shown { output, key: text.trim().to_owned() });
        }
        let names: Vec<String> = values.iter().map(|value| value.output.name.clone()).collect();
        for (value, name) in values.iter_mut().zip(&names) {
            if names.iter().filter(|other| *other == name).count() == 1 {
                value.key.clone_from(name);
            }
        }
        Ok(Fields { id: ty.id(), filter, shown: values })
    }

    /// The sizes of the values that are shown.
    pub fn sizes(&self) -> impl Iterator<Item = u32> {
        self.shown.iter().map(|shown| shown.output.size)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filter) = &self.filter {
            writeln!(f, "filter   {filter}")?;
        }
        self.shown.iter().try_for_each(|shown| writeln!(f, "shows    {}", shown.output))
    }
}
