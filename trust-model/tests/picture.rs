//! The map of a cluster.

#[cfg(test)]
#[path = "support/golden.rs"]
mod golden;

#[cfg(test)]
mod picture {
    use super::golden::golden;
    use time::UtcDateTime;
    use trust_model::model::ClusterModel;
    use trust_model::{AuditOptions, PathStatus, Preset, Report, audit};

    fn report(model: &ClusterModel) -> Report {
        audit(model, &AuditOptions::default(), UtcDateTime::from_unix_timestamp(1_767_225_600).unwrap())
    }

    fn models() -> Vec<ClusterModel> {
        let presets = Preset::ALL.map(Preset::model);
        presets.into_iter().chain([ClusterModel { name: "n".repeat(200), ..ClusterModel::default() }]).collect()
    }

    #[derive(Clone, Debug)]
    struct Area {
        what: String,
        left: f64,
        top: f64,
        right: f64,
        bottom: f64,
    }

    impl Area {
        fn overlaps(&self, other: &Self) -> bool {
            self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
        }

        fn contains(&self, other: &Self) -> bool {
            self.left <= other.left && other.right <= self.right && self.top <= other.top && other.bottom <= self.bottom
        }
    }

    fn attribute(tag: &str, name: &str) -> String {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap_or(("", "\""));
        rest.split('"').next().unwrap().to_owned()
    }

    fn number(tag: &str, name: &str) -> f64 {
        attribute(tag, name).parse().unwrap()
    }

    fn tags<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
        let open = format!("<{name} ");
        svg.split(&open).skip(1).map(|rest| rest.split_once('>').unwrap().0).collect()
    }

    /// Texts as wide as a monospaced font makes them: 0.602 of its size per letter in the widest font that is named.
    fn texts(svg: &str) -> Vec<Area> {
        let mut areas = Vec::new();
        for rest in svg.split("<text ").skip(1) {
            let (tag, rest) = rest.split_once('>').unwrap();
            let tag = format!(" {tag}");
            let what = rest.split_once("</text>").unwrap().0.trim().to_owned();
            let class = attribute(&tag, "class");
            let size = if class == "title" { 16.0 } else { 11.0 };
            let letters = u32::try_from(what.replace("&gt;", ">").replace("&lt;", "<").chars().count()).unwrap();
            let width = 0.602 * size * f64::from(letters);
            let (x, y) = (number(&tag, "x"), number(&tag, "y"));
            let left = if matches!(class.as_str(), "label" | "name") { x - width / 2.0 } else { x };
            areas.push(Area { what, left, top: y - 0.8 * size, right: left + width, bottom: y + 0.25 * size });
        }
        areas
    }

    fn rectangles(svg: &str, class: &str) -> Vec<Area> {
        let all = tags(svg, "rect").into_iter().map(|tag| format!(" {tag}"));
        all.filter(|tag| attribute(tag, "class") == class)
            .map(|tag| {
                let (left, top) = (number(&tag, "x"), number(&tag, "y"));
                let (right, bottom) = (left + number(&tag, "width"), top + number(&tag, "height"));
                Area { what: class.to_owned(), left, top, right, bottom }
            })
            .collect()
    }

    fn lines(svg: &str) -> Vec<Area> {
        let all = tags(svg, "line").into_iter().map(|tag| format!(" {tag}"));
        all.map(|tag| {
            let (x1, x2, y1, y2) = (number(&tag, "x1"), number(&tag, "x2"), number(&tag, "y1"), number(&tag, "y2"));
            let class = attribute(&tag, "class");
            let (left, right) = (x1.min(x2) - 1.5, x1.max(x2) + 1.5);
            Area { what: class, left, right, top: y1.min(y2) - 1.5, bottom: y1.max(y2) + 1.5 }
        })
        .collect()
    }

    #[test]
    fn no_label_lies_over_anything() {
        for model in models() {
            let svg = report(&model).picture();
            let (texts, lines, boxes) = (texts(&svg), lines(&svg), rectangles(&svg, "box"));
            assert!(texts.len() > 30 && lines.len() > 10 && boxes.len() > 5, "{}", model.name);
            let ground = rectangles(&svg, "ground").remove(0);
            for (index, text) in texts.iter().enumerate() {
                assert!(ground.contains(text), "{} {text:?}", model.name);
                for other in texts.iter().skip(index + 1).chain(&lines) {
                    assert!(!text.overlaps(other), "{} {text:?} {other:?}", model.name);
                }
                for other in &boxes {
                    assert!(other.contains(text) || !text.overlaps(other), "{} {text:?} {other:?}", model.name);
                }
            }
            for (index, one) in lines.iter().enumerate() {
                for other in lines.iter().skip(index + 1) {
                    assert!(!one.overlaps(other), "{} {one:?} {other:?}", model.name);
                }
            }
        }
    }

    #[test]
    fn every_path_that_the_cluster_has_is_an_arrow_with_its_name_and_its_verdict() {
        for model in models() {
            let report = report(&model);
            let svg = report.picture();
            let legend = 7;
            let drawn = report.paths.iter().filter(|path| path.status != PathStatus::Absent);
            assert_eq!(lines(&svg).len(), drawn.clone().count() + legend, "{}", model.name);
            let names: Vec<_> = texts(&svg).into_iter().map(|text| text.what).collect();
            for path in drawn {
                assert_eq!(names.iter().filter(|name| *name == path.channel.id()).count(), 1, "{}", path.channel);
            }
        }
    }

    #[test]
    fn the_title_answers_for_the_cluster() {
        let svg = report(&Preset::Legacy.model()).picture();
        assert!(svg.contains("legacy: may it run over a network that others reach? no"), "{svg}");
    }

    /// A name comes from whoever wrote the kubeconfig.
    #[test]
    fn a_name_is_text_and_no_markup() {
        let model = ClusterModel { name: "<script>\u{7}&".to_owned(), ..ClusterModel::default() };
        let svg = report(&model).picture();
        assert!(!svg.contains("<script>") && !svg.contains('\u{7}'), "{svg}");
    }

    #[test]
    fn pictures_of_presets() {
        for preset in Preset::ALL {
            golden(&format!("picture/{preset}.svg"), &report(&preset.model()).picture());
        }
    }
}
