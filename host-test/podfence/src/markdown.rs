//! Markdown, as far as READMEs of policies have it, laid out for a terminal.

use std::mem::take;

use anstyle::Style;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The width where no terminal tells its own, and the most that is used of one: longer lines are hard to read.
const WIDTH: u16 = 120;

const INDENT: &str = "    ";
const HEADING: Style = Style::new().bold();
const CODE: Style = Style::new().dimmed();
const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
const THIN_RULE: LineStyle = LineStyle::none().fill('┈').junction('┈');

/// The width of a text on this terminal.
pub(crate) fn width() -> u16 {
    Table::new().width().unwrap_or(WIDTH).min(WIDTH)
}

/// Lays out a text.
pub(crate) fn render(markdown: &str, width: u16) -> String {
    let mut page = Page { width, ..Page::default() };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.add(event);
    }
    page.text
}

#[derive(Default)]
struct Page {
    width: u16,
    text: String,
    /// What was read of a paragraph, an item, a cell or a block of code.
    inline: String,
    row: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Page {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.inline.push_str(&text),
            Event::Code(code) => self.inline.extend(["`", &code, "`"]),
            Event::SoftBreak | Event::HardBreak => self.inline.push(' '),
            Event::Start(Tag::List(_) | Tag::Heading { .. } | Tag::CodeBlock(_) | Tag::Paragraph | Tag::Table(_)) => {
                self.begin_block()
            }
            Event::End(TagEnd::Heading(_)) => {
                let heading = take(&mut self.inline);
                self.text.push_str(&format!("{HEADING}{heading}{HEADING:#}\n"));
            }
            Event::End(TagEnd::Paragraph) => self.end_text(None),
            Event::End(TagEnd::Item) => self.end_text(Some("•")),
            Event::End(TagEnd::CodeBlock) => {
                for line in take(&mut self.inline).lines() {
                    self.text.push_str(&format!("{INDENT}{CODE}{line}{CODE:#}\n"));
                }
            }
            Event::End(TagEnd::TableCell) => self.row.push(take(&mut self.inline)),
            Event::End(TagEnd::TableHead | TagEnd::TableRow) => self.rows.push(take(&mut self.row)),
            Event::End(TagEnd::Table) => self.end_table(),
            _ => {}
        }
    }

    fn begin_block(&mut self) {
        self.text.push_str(if self.text.is_empty() { "" } else { "\n" });
    }

    /// A table without lines breaks a text at the width, and indents an item's.
    fn end_text(&mut self, bullet: Option<&str>) {
        let mut table = self.columns(TableStyle::new());
        table.add_row(bullet.into_iter().chain([take(&mut self.inline).as_str()]));
        self.push_table(&table, "");
    }

    /// Two columns stand side by side. More of them would be too narrow, so that each row is a list.
    fn end_table(&mut self) {
        let rows = take(&mut self.rows);
        let Some((header, rows)) = rows.split_first() else { return };
        if header.len() <= 2 {
            let mut table = self.columns(TableStyle::new().header_separator(RULE).row_separator(THIN_RULE));
            table.set_header(header).add_rows(rows);
            return self.push_table(&table, "");
        }
        for (index, row) in rows.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "\n" });
            let mut list = self.columns(TableStyle::new());
            list.set_width(self.width.saturating_sub(INDENT.len() as u16));
            let mut cells = header.iter().zip(row).filter(|(_, text)| !text.is_empty());
            let title = cells.next().map_or("", |(_, text)| text);
            self.text.push_str(&format!("{title}\n"));
            list.add_rows(cells.map(|(name, text)| [name, text]));
            self.push_table(&list, INDENT);
        }
    }

    fn columns(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        table
    }

    fn push_table(&mut self, table: &Table, indent: &str) {
        let lines = table.trim_fmt();
        for line in lines.lines() {
            // Cells have a margin, which the page needs not.
            self.text.extend([indent, line.strip_prefix(' ').unwrap_or(line), "\n"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_laid_out_within_the_width() {
        let markdown = "\
# title

A paragraph with
`code`, and [a link](elsewhere.md).

- **one**: an item that is too long for one line
- two

| Setting | Meaning |
|---|---|
| `a` | either \\| or |
| `b` | what it is |

| Setting | Type | Default | Meaning |
|---|---|---|---|
| `a` | integer |  | a number of things |
| `b` | boolean | `true` | a switch |

```yaml
a:
  b: 1
```
";
        let expected = "\
\x1b[1mtitle\x1b[0m

A paragraph with `code`,
and a link.

•  one: an item that is
   too long for one line
•  two

Setting   Meaning
───────────────────────
`a`       either | or
┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
`b`       what it is

`a`
    Type     integer
    Meaning  a number of
             things

`b`
    Type     boolean
    Default  `true`
    Meaning  a switch

    \x1b[2ma:\x1b[0m
    \x1b[2m  b: 1\x1b[0m
";
        assert_eq!(render(markdown, 26), expected);
    }
}
