"""An agent that calls functions of this program, and answers in a form that the program can use.

    antiphon serve
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=... python examples/functions.py [QUESTION]

MODEL names another model than the built-in one.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

from openai import OpenAI

from antiphon.agent import Agent, TurnFailedError, client_tool

STOCK = {"lamp": 12, "rope": 3, "anchor": 0}
PRICES = {"lamp": 24.5, "rope": 7.0, "anchor": 310.0}

Article = Literal["lamp", "rope", "anchor"]


@dataclass
class Offer:
    """What the agent has to find out."""

    article: str
    in_stock: int
    price: float


@client_tool
def stock(article: Article) -> int:
    """How many pieces of an article are in stock.

    Args:
        article: The article.
    """
    return STOCK[article]


def price(article: Article, pieces: int = 1) -> float:
    """The price of an article.

    Args:
        article: The article.
        pieces: How many are bought.
    """
    return PRICES[article] * pieces


def main(question: str = "What does one rope cost, and how many are there?") -> None:
    """Ask for an offer."""
    model = os.environ.get("MODEL", "antiphon-extractive")
    words = "You sell ship supplies."
    agent = Agent(OpenAI(), model=model, instructions=words, tools=[stock, price], output_type=Offer)
    session_id = agent.create_session("shop")
    try:
        turn = agent.create_turn(question, session_id, stream=False)
    except TurnFailedError as error:
        sys.exit(f"{error.code}: {error.message}")
    offer: Offer = turn.output
    print(f"{offer.article}: {offer.in_stock} in stock at {offer.price:.2f}")
    print(f"({len(turn.steps)} steps, {turn.usage.total_tokens} tokens)")


if __name__ == "__main__":
    main(*sys.argv[1:2])
