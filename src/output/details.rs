//! What only some runs show of a record, made into an [`Extra`].

use crate::btf::Look;
use crate::names::clean;
use crate::plan::Plan;
use crate::plan::fields::Fields;
use crate::record::{Layout, Object, Place};

use super::extra::{Extra, Label, Metadata};
use super::value::Values;

/// Makes an [`Extra`] of each record, in memory that is used again. What it needs from types is worked out before.
pub struct Details {
    layout: Layout,
    objects: [Shown; 2],
    values: Values,
}

/// The values of one kind of object.
struct Shown {
    fields: Vec<Field>,
    labels: Vec<Label>,
}

/// A value that is shown.
struct Field {
    place: Place,
    look: Look,
    limit: usize,
}

impl Details {
    /// For the records of a run.
    pub fn new(plan: &Plan) -> Details {
        let objects = [(Object::Skb, &plan.skb), (Object::Xdp, &plan.xdp)];
        Details {
            layout: plan.layout.clone(),
            objects: objects.map(|(object, fields)| Shown::new(plan.layout.values(object), fields)),
            values: Values::default(),
        }
    }

    /// The details of a record about `object`.
    pub fn of(&mut self, object: Object, record: &[u8]) -> Extra<'_> {
        let Shown { fields, labels } = &self.objects[object as usize];
        if fields.is_empty() {
            return Extra::default();
        }
        self.values.clear();
        for Field { place, look, limit } in fields {
            self.values.add(self.layout.value(record, *place), look, *limit);
        }
        Extra { metadata: Some(Metadata { labels, values: &self.values }), ..Extra::default() }
    }
}

impl Shown {
    fn new(places: &[Place], fields: &Fields) -> Shown {
        let clean = |name: &str| clean::clean(name.as_bytes()).into_owned();
        let mut labels: Vec<Label> = Vec::new();
        for shown in &fields.shown {
            // The same expression twice is one key.
            let key = Some(clean(&shown.key)).filter(|key| labels.iter().all(|label| label.key.as_ref() != Some(key)));
            labels.push(Label { text: clean(&shown.output.name), key });
        }
        let field = |(place, shown): (&Place, &crate::plan::fields::Shown)| Field {
            place: *place,
            look: shown.output.look.clone(),
            limit: shown.limit(),
        };
        Shown { fields: places.iter().zip(&fields.shown).map(field).collect(), labels }
    }
}
