"""What the image serves until it is told otherwise: a notice that waits for a human, who may let it pass by."""

from typing import Literal, TypedDict

from dalsegno import END, START, Workflow, human


class Notice(TypedDict, total=False):
    subject: str
    text: str
    verdict: str


def write(state: Notice) -> Notice:
    return {"text": f"Notice: {state['subject'].strip()}."}


def publish(state: Notice) -> Notice:
    return {"text": state["text"] if state["verdict"] == "publish" else ""}


ask = human(
    "Publish {text}?", answer=Literal["publish", "drop"], writes="verdict", deadline=3600, default="drop"
)

flow = Workflow("notice", Notice, version="1")
flow.add_node(write).add_node("ask", ask).add_node(publish)
flow.add_edge(START, "write").add_edge("write", "ask").add_edge("ask", "publish").add_edge("publish", END)
