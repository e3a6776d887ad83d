//! Links between the pages.

use std::path::{Component, Path, PathBuf};

use crate::{files, pages, root, text};

/// The targets of the links of a page, without those in code.
fn links(page: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let targets = prose.split("](").skip(1).map(|after| after.split(')').next().unwrap_or_default().to_owned());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of a page's headings, as the book and GitHub make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// A path without `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

#[test]
fn links_and_anchors_are_found() {
    let page = "[a](b.md#c) and [two\nlines](d.md), [web](https://example.com)\n```\n[x](code)\n```\n";
    assert_eq!(links(page), ["b.md#c", "d.md"]);
    assert_eq!(
        anchors("# One `two`, (three)\ntext\n## Refused requests under /1.5, status 401\n"),
        ["one-two-three", "refused-requests-under-15-status-401"]
    );
}

#[test]
fn every_link_leads_to_a_file_that_is_there_and_to_a_heading_in_it() {
    let mut found = 0;
    for page in pages() {
        for link in links(&text(&page)) {
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, a)| (file, Some(a)));
            let folder = Path::new(&page).parent().unwrap();
            let target = if file.is_empty() { PathBuf::from(&page) } else { plain(&folder.join(file)) };
            assert!(root().join(&target).exists(), "{page} links to {file}, which is not there");
            if let Some(anchor) = anchor {
                let headings = anchors(&text(target.to_str().unwrap()));
                assert!(headings.iter().any(|heading| heading == anchor), "{page}: {file} has no #{anchor}");
            }
            found += 1;
        }
    }
    assert!(found > 40, "only {found} links");
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let mut listed = links(&text("docs/src/SUMMARY.md"));
    listed.sort();
    let pages = files("docs/src", ".md").into_iter().map(|page| page.replace("docs/src/", ""));
    assert_eq!(listed, pages.filter(|page| page != "SUMMARY.md").collect::<Vec<_>>());
}

#[test]
fn every_compose_file_that_is_named_is_there() {
    let mut found = 0;
    for page in pages() {
        let text = text(&page);
        for after in text.split("docker-compose.").skip(1) {
            let name = after.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next().unwrap();
            let name = format!("docker-compose.{}", name.trim_end_matches('.'));
            assert!(root().join(&name).exists(), "{page} names {name}");
            found += 1;
        }
    }
    assert!(found >= 3, "only {found}");
}
