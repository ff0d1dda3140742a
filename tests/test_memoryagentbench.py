"""Published MemoryAgentBench rows: every family, its quirks, and what is said of broken rows."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from memgym.baselines import BASELINES
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.tasks import load_source
from memgym.tasks.gold_finder import GoldFinder
from memgym.tasks.memoryagentbench_questions import entity_names
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples
from memgym.tokens import get_counter

_TEXTS, _NUMBERS = pyarrow.list_(pyarrow.string()), pyarrow.int64()
SCHEMA = pyarrow.schema(
    [
        ("context", pyarrow.string()),
        ("questions", _TEXTS),
        ("answers", pyarrow.list_(_TEXTS)),
        (
            "metadata",
            pyarrow.struct(
                [
                    ("demo", pyarrow.string()),
                    ("haystack_sessions", pyarrow.list_(_TEXTS)),
                    ("keypoints", _TEXTS),
                    ("previous_events", _TEXTS),
                    ("qa_pair_ids", _TEXTS),
                    ("question_dates", _TEXTS),
                    ("question_ids", _TEXTS),
                    ("question_types", _TEXTS),
                    ("source", pyarrow.string()),
                ]
            ),
        ),
    ]
)
_FILES = {
    "icl": "Test_Time_Learning",
    "recsys": "Test_Time_Learning",
    "infbench": "Long_Range_Understanding",
    "detective": "Long_Range_Understanding",
    "factconsolidation": "Conflict_Resolution",
}


def row(
    source: str, context: str, *pairs: tuple[str, list[str]], **metadata: Any
) -> dict[str, Any]:
    return {
        "context": context,
        "questions": [question for question, _ in pairs],
        "answers": [golds for _, golds in pairs],
        "metadata": {"source": source, **metadata},
    }


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    """Write the rows into the files of the published splits; return the data folder."""
    by_split: dict[str, list[dict[str, Any]]] = {}
    for item in rows:
        family = item["metadata"]["source"].split("_")[0]
        by_split.setdefault(_FILES.get(family, "Accurate_Retrieval"), []).append(item)
    target = folder / "memoryagentbench" / "data"
    target.mkdir(parents=True, exist_ok=True)
    for split, items in by_split.items():
        table = pyarrow.Table.from_pylist(items, schema=SCHEMA)
        parquet.write_table(table, target / f"{split}-00000-of-00001.parquet")
    return folder


def load(data: Path, **options: Any) -> ListedEpisodes:
    episodes = load_source("memoryagentbench", "test", options, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def only(data: Path, **options: Any) -> Episode:
    (episode,) = load(data, **options)
    return episode


DOCUMENTS = "\n\n".join(
    f"Document {n}:\nTown {n}\nTown {n} lies on a river. Its mayor is Ada{n} Stone."
    for n in range(40)
)
EXAMPLES = "\n\n".join(f"please play song {n}\nlabel: {n % 7}" for n in range(60))
CHAT = [
    "Chat Time: 2023/05/20 (Sat) 02:21",
    [
        {"role": "user", "content": "I adopted a cat. It's called 'Miso'."},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "What a fine name."},
    ],
    "2023-06-01",
    [{"role": "user", "content": "I moved to Porto."}],
]
FACTS = "Here is a list of facts:\n" + "\n".join(
    [
        "0. The capital of Norland is Aville.",
        "1. Mara Lund plays chess.",
        "2. The capital of Sudland is Befort.",
        "3. The capital of Norland is Cestown.",
        "4. Aville lies on the continent of Asia.",
    ]
)


def rows() -> list[dict[str, Any]]:
    """Return a row of every family."""
    return [
        row("ruler_qa1_197K", DOCUMENTS, ("Who is mayor of Town 7?", ["Ada7 Stone", "Stone"])),
        row("eventqa_full", "Ann woke.\nThen she ran.", ("What came next?", ["Then she ran."])),
        row(
            "longmemeval_s*",
            str(CHAT),
            ("What is my cat called?", ["Miso"]),
            ("What is my dog called?", ["You did not mention a dog."]),
            question_ids=["q1", "q2_abs"],
            question_types=["single-session-user", "single-session-user"],
            question_dates=["2023/06/02 (Fri) 10:00", "2023/06/02 (Fri) 10:00"],
            haystack_sessions=[["x"]],
        ),
        row("icl_nlu_8296shot_balance", EXAMPLES, ("please play song 3", ["3"])),
        row("recsys_redial_full", "Dialogue 1: User: Hi! System: Heat. Dialogue 2: User: Alien?",
            ("User: What else?", ["12", "7"])),
        row("infbench_sum_eng_shots2", "Pip meets a convict.\nJoe is a blacksmith.",
            ("Summarise.", ["Pip meets a convict; Joe, a blacksmith, raised him."])),
        row("infbench_qa_eng_shots2", "Pip meets a convict.", ("Whom?", ["a convict"])),
        row("detective_qa", "The butler did it.", ("A. Cook B. The butler", ["B. The butler"])),
        row("factconsolidation_sh_6k", FACTS, ("What is the capital of Norland?", ["Cestown"])),
        row("factconsolidation_mh_6k", FACTS, ("Continent of Norland's old capital?", ["Asia"])),
    ]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path, *rows())
    entities = {"<http://dbpedia.org/resource/Heat_(1995_film)>": 12, "Alien (1979)": 7}
    (tmp_path / "memoryagentbench" / "entity2id.json").write_text(json.dumps(entities))
    return tmp_path


# --- all families


def test_all_four_splits_are_read_and_every_family_has_its_ability_and_kind(data: Path) -> None:
    episodes = {episode.source: episode for episode in load(data)}
    assert len(episodes) == 10
    found = {name: (e.ability, e.questions[0].kind) for name, e in episodes.items()}
    assert found == {
        "ruler_qa1_197K": ("accurate_retrieval", "text"),
        "eventqa_full": ("accurate_retrieval", "text"),
        "longmemeval_s*": ("accurate_retrieval", "text"),
        "icl_nlu_8296shot_balance": ("test_time_learning", "label"),
        "recsys_redial_full": ("test_time_learning", "keywords"),
        "infbench_sum_eng_shots2": ("long_range_understanding", "keywords"),
        "infbench_qa_eng_shots2": ("long_range_understanding", "text"),
        "detective_qa": ("long_range_understanding", "text"),
        "factconsolidation_sh_6k": ("conflict_resolution", "state"),
        "factconsolidation_mh_6k": ("conflict_resolution", "text"),
    }


def test_evidence_is_a_literal_part_of_its_chunk(data: Path) -> None:
    shown = 0
    for episode in load(data):
        for question in episode.questions:
            for item in question.evidence:
                assert item.text in episode.chunks[item.chunk]
                shown += 1
    assert shown >= 7


@pytest.mark.parametrize("agent", sorted(BASELINES))
def test_every_family_can_be_played(data: Path, agent: str) -> None:
    player = BASELINES[agent]()
    env = environment_for(player)
    scores = [play_episode(player, env, episode).score for episode in load(data)]
    assert all(0 <= score <= 1 for score in scores)
    if agent in ("sentences", "chunks"):
        assert sum(scores) >= 6
    if agent == "closed_book":
        assert sum(scores) == 0


def test_ids_depend_on_the_content_and_the_settings(data: Path, tmp_path: Path) -> None:
    ids = load(data).ids
    assert load(data).ids == ids
    assert not set(load(data, max_tokens=500).ids) & set(ids)
    other = write(tmp_path / "other", *rows()[1:])
    entities = data / "memoryagentbench" / "entity2id.json"
    assert load(other, entities=str(entities)).ids == ids[1:]


# --- contexts


def test_documents_are_packed_whole_into_chunks_of_the_wanted_size(data: Path) -> None:
    episode = only(data, name="ruler_qa1_197K", max_tokens=200)
    assert len(episode.chunks) > 3
    assert all(get_counter().count(chunk) < 260 for chunk in episode.chunks)
    assert sum(chunk.count("Document ") for chunk in episode.chunks) == 40
    for size in range(150, 210, 10):
        for chunk in only(data, name="ruler_qa1_197K", max_tokens=size).chunks:
            started = re.findall(r"Document (\d+):", chunk)
            assert re.findall(r"Ada(\d+) Stone", chunk) == started
    text = "\n".join(episode.chunks)
    assert all(line in text for line in DOCUMENTS.splitlines() if line)
    (evidence,) = episode.questions[0].evidence
    assert evidence.text == "Its mayor is Ada7 Stone."


@pytest.mark.parametrize("encode", [str, json.dumps])
def test_sessions_become_dated_chunks(encode: Any, tmp_path: Path) -> None:
    chat = row("longmemeval_s*", encode(CHAT), ("What is my cat called?", ["Miso"]))
    episode = only(write(tmp_path, chat))
    assert episode.chunks == (
        "[Conversation of 2023-05-20 02:21]\nUser: I adopted a cat. It's called 'Miso'.\n"
        "Assistant: What a fine name.",
        "[Conversation of 2023-06-01 00:00]\nUser: I moved to Porto.",
    )


def test_questions_that_cannot_be_answered_are_counted_or_kept(data: Path) -> None:
    episodes = load(data, name="longmemeval_s*")
    assert episodes.excluded == {"question that the history cannot answer": 1}
    assert [q.question for q in episodes.episode(0).questions] == ["What is my cat called?"]
    assert episodes.episode(0).metadata["question_types"] == ["single-session-user"]
    kept = only(data, name="longmemeval_s*", abstention=True)
    assert kept.metadata["question_ids"] == ["q1", "q2_abs"]  # tells a judge of abstentions


def test_chat_code_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    code = f"[__import__('pathlib').Path({str(target)!r}).write_text('x'), []]"
    with pytest.raises(UsageError, match=r'row 0, column "context": neither JSON nor a list'):
        list(load(write(tmp_path, row("longmemeval_s*", code, ("What?", ["x"])))))
    assert not target.exists()


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("['2023/05/20']", "must alternate times and sessions"),
        ("['no time', []]", "item 0: must hold a time"),
        ("['2023/25/20', []]", "item 0: .* is no time"),
        ("['2023/05/20', {}]", "item 1: must be a list of turns"),
        ("['2023/05/20', [{'role': 'user'}]]", 'item 1, turn 0: missing field "content"'),
        ("['2023/05/20', [", "neither JSON nor a list of sessions"),
        ("  ", "it is empty"),
    ],
)
def test_broken_histories_are_named(context: str, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, row("longmemeval_s*", context, ("What?", ["x"])))
    with pytest.raises(UsageError, match=f'row 0, column "context"(, |: ){message}'):
        list(load(folder))


def test_examples_are_taught_in_the_shape_of_every_source(data: Path) -> None:
    episode = only(data, name="icl_nlu_8296shot_balance")
    taught = [example for chunk in episode.chunks for example in labelled_examples(chunk)]
    assert [(e.text, e.label) for e in taught] == [
        (f"please play song {n}", str(n % 7)) for n in range(60)
    ]
    assert "\\boxed" in episode.metadata["question_preface"]
    assert episode.questions[0].evidence[0].text == "Sentence: please play song 3\nLabel: 3"


def test_what_is_no_example_is_kept_as_text(tmp_path: Path) -> None:
    context = "Read these.\n" + EXAMPLES + "\nThe end."
    episode = only(write(tmp_path, row("icl_x", context, ("please play song 3", ["3"]))))
    text = "\n".join(episode.chunks)
    assert "Read these." in text
    assert "The end." in text


# --- golds


def test_recommendations_are_asked_for_by_name(data: Path) -> None:
    (question,) = only(data, name="recsys_redial_full").questions
    assert question.answers == ("Heat", "Alien")
    assert question.evidence == ()


def test_without_an_entity_map_recommendations_are_counted_or_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, *rows())
    episodes = load(folder)
    assert len(episodes.ids) == 9
    assert episodes.excluded["recommendation row without an entity map (option entities)"] == 1
    with pytest.raises(
        UsageError, match=r"golds of recsys_redial_full are entity ids; name entity2id"
    ):
        load(folder, name="recsys_redial_full")


def test_an_unknown_entity_is_named(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"Heat": 12}')
    with pytest.raises(UsageError, match=r'row 1, question 0: entity "7" is not in the entity map'):
        list(load(data, name="recsys_redial_full", entities=str(path)))


def test_entity_maps_are_checked() -> None:
    assert entity_names({"A_b_(film)": "3"}, "here") == {"3": "A b"}
    wrongs: list[Any] = [[], {"a": [1]}, {"a": True}]
    for wrong in wrongs:
        with pytest.raises(UsageError, match="here: must be a JSON object"):
            entity_names(wrong, "here")


def test_an_option_counts_with_and_without_its_letter(data: Path) -> None:
    (question,) = only(data, name="detective_qa").questions
    assert question.answers == ("B. The butler", "The butler")


def test_a_summary_is_asked_for_by_keywords_of_the_text(data: Path) -> None:
    (question,) = only(data, name="infbench_sum_eng_shots2").questions
    assert question.kind == "keywords"
    assert {"convict", "blacksmith"} <= {word for gold in question.answers for word in gold.split()}
    assert question.evidence


def test_superseded_values_are_distractors(data: Path) -> None:
    episode = only(data, name="factconsolidation_sh_6k")
    (question,) = episode.questions
    assert question.distractors == ("Aville",)
    assert [item.text for item in question.evidence] == [
        "Fact 3: The capital of Norland is Cestown."
    ]
    assert "Fact 0: The capital of Norland is Aville." in episode.chunks[0]


def test_several_golds_of_a_single_question_need_no_inner_list(tmp_path: Path) -> None:
    item = row("infbench_qa_x", "Pip meets a convict.", ("Whom?", ["a convict"]))
    item["answers"] = [["a convict"], ["Magwitch"]]
    with pytest.raises(UsageError, match='question 0: column "answers" must hold lists'):
        list(load(write(tmp_path, item)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [["x"]]}, "2 questions, but 1 answers"),
        ({"answers": [["x"], []]}, 'question 1: column "answers" must hold lists'),
        ({"answers": [["x"], [" "]]}, 'question 1: column "answers" must hold lists'),
        ({"questions": ["What?", ""]}, 'question 1: column "questions" must hold non-empty'),
        ({"questions": None}, 'field "questions" must be list, got NoneType'),
        ({"context": None}, 'field "context" must be str, got NoneType'),
        ({"metadata": {"source": None}}, 'column "metadata": field "source" must be str'),
    ],
)
def test_broken_rows_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    good = row("eventqa_full", "A text.", ("What?", ["x"]), ("Who?", ["y"]))
    folder = tmp_path / "memoryagentbench"
    folder.mkdir()
    table = pyarrow.Table.from_pylist([good, {**good, **change}], schema=SCHEMA)
    parquet.write_table(table, folder / "Accurate_Retrieval.parquet")
    with pytest.raises(UsageError, match=message) as caught:
        list(load(tmp_path))
    assert "Accurate_Retrieval.parquet, row 1" in str(caught.value)


def test_a_file_without_the_columns_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "memoryagentbench"
    folder.mkdir()
    parquet.write_table(pyarrow.table({"context": ["x"]}), folder / "Conflict_Resolution.parquet")
    with pytest.raises(UsageError, match=r"missing column questions, answers, metadata"):
        load(tmp_path)


def test_an_unknown_test_set_names_the_nearest(data: Path) -> None:
    with pytest.raises(UsageError, match=r'no row of "ruler_qa1": did you mean "ruler_qa1_197K"'):
        load(data, name="ruler_qa1")


def test_a_row_without_questions_is_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, row("eventqa_full", "A text."), rows()[1])
    assert load(folder).excluded == {"row without a question": 1}


# --- guessed evidence


def test_of_several_sentences_the_one_most_like_the_question_is_found() -> None:
    finder = GoldFinder(["Paris is nice. Ann went to Paris by train.", "Bob saw Paris."])
    (found,) = finder.find("Where did Ann go by train?", ["Paris"])
    assert (found.chunk, found.text) == (0, "Ann went to Paris by train.")


def test_golds_inside_words_and_tiny_golds_are_not_found() -> None:
    finder = GoldFinder(["She ran. The ranch is on."])
    assert finder.find("What?", ["anc"]) == ()
    assert finder.find("What?", ["on"]) == ()
    assert [item.text for item in finder.find("What?", ["RANCH"])] == ["The ranch is on."]


@given(st.lists(st.sampled_from(["red", "blue", "green", "x-ray", "É"]), min_size=1, max_size=30))
def test_every_word_of_a_text_is_found_where_it_stands(words: list[str]) -> None:
    chunks = [" ".join(words[start : start + 5]) + "." for start in range(0, len(words), 5)]
    finder = GoldFinder(chunks)
    for word in words:
        if len(word) >= 3:
            (found,) = finder.find("Which?", [word])
            assert word in found.text
            assert found.text in chunks[found.chunk]
