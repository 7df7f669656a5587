use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts the pictures of the folder `pictures` into the pages themselves, where they take the colours of
/// the theme. In the sources they are images, which every viewer of Markdown shows.
///
/// # Errors
///
/// If the book cannot be read or written.
pub(super) fn inline(book: &Path) -> Result<()> {
    for page in super::book::pages(book)? {
        let text = super::page::read(&page)?;
        let inlined = inlined(&text, |picture| super::page::read(&book.join(picture)))?;
        if inlined != text {
            fs::write(&page, inlined)
                .with_context(|| format!("cannot write {}", page.display()))?;
        }
    }
    Ok(())
}

fn inlined(page: &str, picture: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut parts = page.split(IMAGE);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('"').context("a name ends")?;
        let (_, rest) = rest.split_once('>').context("an image ends")?;
        text += picture(&format!("pictures/{name}"))?.trim_end();
        text += rest;
    }
    Ok(text)
}

const IMAGE: &str = "<img src=\"pictures/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_take_the_place_of_images() {
        let page = "a <img src=\"pictures/b.svg\" alt=\"c\"> d <img src=\"e.png\"> \
                    <img src=\"pictures/f.svg\" />.";
        let text = inlined(page, |name| Ok(format!("[{name}]\n"))).expect("it is well formed");
        assert_eq!(
            text,
            "a [pictures/b.svg] d <img src=\"e.png\"> [pictures/f.svg]."
        );
    }
}
