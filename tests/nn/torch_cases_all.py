"""All layers that are compared with torch."""

from __future__ import annotations

import torch_cases
import torch_cases_functions
import torch_cases_more

CASES = [*torch_cases.CASES, *torch_cases_more.CASES, *torch_cases_functions.CASES]
