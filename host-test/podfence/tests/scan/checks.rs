//! What the page about checks of one's own shows: its files, and what the commands print.

use super::workplace;

const PAGE: &str = include_str!("../../../cel/README.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).filter_map(|behind| Some(behind.split_once("```")?.0)).collect()
}

#[test]
fn the_page_shows_what_is_printed() {
    let workplace = workplace();
    for file in blocks("yaml") {
        let name = file.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a block begins with its name");
        workplace.write(name, file);
    }
    let mut commands = 0;
    for block in blocks("console") {
        let (command, expected) = block.split_once('\n').expect("a command, and what it prints");
        let arguments: Vec<&str> = command.trim_start_matches("$ podfence ").split(' ').collect();
        let printed = workplace.run(&arguments);
        assert_eq!(printed.out, expected, "{command}: {}", printed.error);
        commands += 1;
    }
    assert_eq!(commands, 2);
}
