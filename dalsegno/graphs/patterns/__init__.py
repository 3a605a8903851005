"""Orchestration patterns: each is a function that returns a workflow."""

from dalsegno.graphs.patterns.ab_test import ABTest, Output, Scored, ab_test
from dalsegno.graphs.patterns.approval import Approval, HumanDecision, approval
from dalsegno.graphs.patterns.chain_of_thought import Thought, Thoughts, chain_of_thought
from dalsegno.graphs.patterns.choreography import Choreography, Event, Published, Subscriber, choreography
from dalsegno.graphs.patterns.conversation import Conversation, Known, Turn, conversation
from dalsegno.graphs.patterns.ensemble import Ensemble, Verdict, ensemble
from dalsegno.graphs.patterns.fallback_chain import FallbackChain, fallback_chain
from dalsegno.graphs.patterns.function_calls import CallGraph, FunctionCall, FunctionCalls, function_calls
from dalsegno.graphs.patterns.generate_critique_revise import (
    Drafts,
    Review,
    Validation,
    generate_critique_revise,
)
from dalsegno.graphs.patterns.grounded_answer import GroundedAnswer, grounded_answer
from dalsegno.graphs.patterns.hierarchy import Team, hierarchy
from dalsegno.graphs.patterns.hybrid import Hybrid, hybrid
from dalsegno.graphs.patterns.intent_workflows import IntentWorkflows, ResultCheck, Served, intent_workflows
from dalsegno.graphs.patterns.map_reduce import MapReduce, map_reduce
from dalsegno.graphs.patterns.output_validation import Check, Checked, output_validation
from dalsegno.graphs.patterns.parallel import Parallel, parallel
from dalsegno.graphs.patterns.peer_to_peer import Handover, Peer, Peers, peer_to_peer
from dalsegno.graphs.patterns.plan_and_execute import Planned, StepDone, plan_and_execute
from dalsegno.graphs.patterns.planner_executor import Outcome, Subtask, SubtaskPlan, Unmet, planner_executor
from dalsegno.graphs.patterns.prompt_generation import PromptGeneration, PromptReview, prompt_generation
from dalsegno.graphs.patterns.prompt_optimization import (
    Best,
    Evaluation,
    PromptOptimization,
    Trial,
    prompt_optimization,
)
from dalsegno.graphs.patterns.react import React, react
from dalsegno.graphs.patterns.recursive_decomposition import Decomposition, Part, recursive_decomposition
from dalsegno.graphs.patterns.roles import Node
from dalsegno.graphs.patterns.router import Routed, router
from dalsegno.graphs.patterns.saga import Completed, Saga, SagaStep, saga
from dalsegno.graphs.patterns.sequential import Sequential, Step, sequential
from dalsegno.graphs.patterns.specialists import Consultation, Synthesis, specialists
from dalsegno.graphs.patterns.summarizing_memory import Exchange, Memory, Summary, summarizing_memory
from dalsegno.graphs.patterns.supervisor import Delegation, Supervised, supervisor
from dalsegno.graphs.patterns.tool_selection import Selection, ToolSelection, ToolStep, tool_selection
from dalsegno.graphs.patterns.working import Done, Task, Worker

__all__ = [
    "ABTest",
    "Approval",
    "Best",
    "CallGraph",
    "Check",
    "Checked",
    "Choreography",
    "Completed",
    "Consultation",
    "Conversation",
    "Decomposition",
    "Delegation",
    "Done",
    "Drafts",
    "Ensemble",
    "Evaluation",
    "Event",
    "Exchange",
    "FallbackChain",
    "FunctionCall",
    "FunctionCalls",
    "GroundedAnswer",
    "Handover",
    "HumanDecision",
    "Hybrid",
    "IntentWorkflows",
    "Known",
    "MapReduce",
    "Memory",
    "Node",
    "Outcome",
    "Output",
    "Parallel",
    "Part",
    "Peer",
    "Peers",
    "Planned",
    "PromptGeneration",
    "PromptOptimization",
    "PromptReview",
    "Published",
    "React",
    "ResultCheck",
    "Review",
    "Routed",
    "Saga",
    "SagaStep",
    "Scored",
    "Selection",
    "Sequential",
    "Served",
    "Step",
    "StepDone",
    "Subscriber",
    "Subtask",
    "SubtaskPlan",
    "Summary",
    "Supervised",
    "Synthesis",
    "Task",
    "Team",
    "Thought",
    "Thoughts",
    "ToolSelection",
    "ToolStep",
    "Trial",
    "Turn",
    "Unmet",
    "Validation",
    "Verdict",
    "Worker",
    "ab_test",
    "approval",
    "chain_of_thought",
    "choreography",
    "conversation",
    "ensemble",
    "fallback_chain",
    "function_calls",
    "generate_critique_revise",
    "grounded_answer",
    "hierarchy",
    "hybrid",
    "intent_workflows",
    "map_reduce",
    "output_validation",
    "parallel",
    "peer_to_peer",
    "plan_and_execute",
    "planner_executor",
    "prompt_generation",
    "prompt_optimization",
    "react",
    "recursive_decomposition",
    "router",
    "saga",
    "sequential",
    "specialists",
    "summarizing_memory",
    "supervisor",
    "tool_selection",
]
