"""The hyper-parameters of every loss, one typed model each, torch-free: command line, form and checks are made from these.

A model's fields are the keyword arguments of the function of the same name in losses.py.
"""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

SMOOTHING = "Share of the labels that is assumed to be the wrong way round."


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BradleyTerry(Frozen):
    """Raise the chosen response's reward above the rejected one's."""

    model_config = ConfigDict(title="Bradley-Terry")
    name: Literal["bradley_terry"] = "bradley_terry"
    centring: float = Field(
        0.0,
        ge=0,
        title="Centring",
        description="Weight of the mean squared reward in the loss, which keeps rewards near zero. "
        "Counted as align-anything counts it: its value is 0.001.",
    )
    margin: float = Field(0.0, ge=0, title="Margin", description="How far the chosen reward should lie above the rejected one.")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, title="Label smoothing", description=SMOOTHING)


class Quantity(NamedTuple):
    """What a number is, and its unit; an empty unit is that of a pure number."""

    label: str
    unit: str


class OnPolicy(Frozen):
    """A policy's loss."""

    @property
    def loss_unit(self) -> str:
        """Empty where the loss is a pure number."""
        return "nats"

    @property
    def per_token(self) -> bool:
        """Whether its reward is a mean over response tokens, not their sum."""
        return True

    @property
    def reward(self) -> Quantity:
        """The reward of a response that figures and tables show."""
        return Quantity("β × mean log-probability", "nats per token")


class AgainstReference(OnPolicy):
    """A loss of log-ratios to the reference."""

    beta: float = Field(
        0.1, gt=0, title="Beta", description="How strongly the policy is held to the reference: small values let it move further."
    )

    @property
    def per_token(self) -> bool:
        return False

    @property
    def reward(self) -> Quantity:
        return Quantity("β × log-ratio to the reference", "nats")


class DPO(AgainstReference):
    """Direct preference optimisation; with label smoothing it is conservative DPO."""

    name: Literal["dpo"] = "dpo"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, title="Label smoothing", description=SMOOTHING)


class RobustDPO(AgainstReference):
    """DPO made unbiased under labels that are flipped at a known rate."""

    model_config = ConfigDict(title="Robust DPO")
    name: Literal["robust_dpo"] = "robust_dpo"
    label_smoothing: float = Field(0.1, ge=0, lt=0.5, title="Flip rate", description=SMOOTHING)


class IPO(AgainstReference):
    """Regress the log-ratio's margin to 1 / (2β) instead of pushing it without end."""

    name: Literal["ipo"] = "ipo"
    reduction: Literal["mean", "sum"] = Field(
        "mean",
        title="Log-ratio",
        description="Per token (mean), as common implementations have it, or per response (sum), as the paper has it.",
    )

    @property
    def loss_unit(self) -> str:
        return "(nats per token)²" if self.per_token else "nats²"

    @property
    def per_token(self) -> bool:
        return self.reduction == "mean"

    @property
    def reward(self) -> Quantity:
        return Quantity("β × mean log-ratio to the reference", "nats per token") if self.per_token else super().reward


class SimPO(OnPolicy):
    """Per-token log-probability as the reward, with a target margin and no reference."""

    name: Literal["simpo"] = "simpo"
    beta: float = Field(2.0, gt=0, title="Beta", description="Scale of the per-token log-probability.")
    gamma: float = Field(
        1.0,
        ge=0,
        title="Gamma",
        description="How far the chosen reward should lie above the rejected one, in units of the reward (the paper's γ). "
        "The authors' code asks for gamma_beta_ratio instead: gamma = beta × gamma_beta_ratio.",
    )


class ORPO(OnPolicy):
    """Likelihood of the chosen response plus the odds ratio of the two, without a reference."""

    name: Literal["orpo"] = "orpo"
    beta: float = Field(0.1, gt=0, title="Lambda", description="Weight of the odds ratio beside the likelihood of the chosen response.")


class KTO(AgainstReference):
    """Gains and losses against a reference point that is estimated from the batch."""

    name: Literal["kto"] = "kto"
    desirable: float = Field(
        1.0,
        gt=0,
        title="Weight of chosen",
        description="Weight of a chosen response's loss (lambda_w). The whole loss lies between 0 and the sum of the two weights.",
    )
    undesirable: float = Field(1.0, gt=0, title="Weight of rejected", description="Weight of a rejected response's loss (lambda_l).")

    @property
    def loss_unit(self) -> str:
        return ""


class DPOP(AgainstReference):
    """DPO with a penalty when the chosen response becomes less probable than under the reference (DPO-positive)."""

    model_config = ConfigDict(title="DPO-positive")
    name: Literal["dpop"] = "dpop"
    penalty: float = Field(5.0, ge=0, title="Penalty", description="Weight of the chosen response's lost log-probability (lambda).")


class RPO(AgainstReference):
    """DPO plus the chosen response's negative log-likelihood per token."""

    model_config = ConfigDict(title="DPO + NLL (RPO)")
    name: Literal["rpo"] = "rpo"
    alpha: float = Field(1.0, ge=0, title="Alpha", description="Weight of the negative log-likelihood.")


class LDDPO(AgainstReference):
    """DPO in which tokens beyond the shorter response's length count less (length-desensitised DPO)."""

    model_config = ConfigDict(title="LD-DPO")
    name: Literal["ld_dpo"] = "ld_dpo"
    alpha: float = Field(0.5, ge=0, le=1, title="Alpha", description="Weight of those tokens: 1 is DPO, 0 ignores them.")

    @property
    def reward(self) -> Quantity:
        return Quantity("β × length-desensitised log-ratio to the reference", "nats")


class RDPO(AgainstReference):
    """DPO with a length regulariser: a longer chosen response has less left to learn."""

    model_config = ConfigDict(title="R-DPO")
    name: Literal["r_dpo"] = "r_dpo"
    alpha: float = Field(
        0.01,
        ge=0,
        title="Alpha",
        description="Reward taken away per token of length. The reward shown is what is left: β × log-ratio to the reference.",
    )


class GuidedDPO(AgainstReference):
    """DPO with an offset: pairs that a reward model holds far apart must end up further apart."""

    model_config = ConfigDict(title="Guided DPO")
    name: Literal["guided_dpo"] = "guided_dpo"
    scale: float = Field(
        0.1,
        ge=0,
        title="Scale",
        description="Offset per unit of the reward model's difference, chosen less rejected. "
        "Where that model prefers the rejected response, the offset is negative.",
    )


AnyPolicyLoss = DPO | RobustDPO | IPO | SimPO | ORPO | KTO | DPOP | RPO | LDDPO | RDPO | GuidedDPO
PolicyLoss = Annotated[AnyPolicyLoss, Field(discriminator="name")]


class Weighted(Frozen):
    """A further loss and its weight in the sum."""

    weight: float = Field(1.0, gt=0, title="Weight")
    loss: PolicyLoss


class LoRA(Frozen):
    """Low-rank adapters beside frozen weights (Hu et al. 2022)."""

    rank: int = Field(16, ge=1, title="Rank", description="Width of the adapters.")
    alpha: int = Field(32, gt=0, title="Alpha", description="The adapters' output is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, title="Dropout", description="Dropout before the adapters.")
    targets: tuple[str, ...] = Field(
        ("all-linear",), min_length=1, title="Targets", description="Layers that get adapters: all-linear, or names such as q_proj, v_proj."
    )


class LengthControl(Frozen):
    """What a response's length does to its reward: r / (divide + tokens), then − penalty · |tokens − target|."""

    divide: float | None = Field(
        None,
        ge=0,
        title="Divide by length",
        description="Divide the reward by this number plus the response's tokens; empty: do not divide.",
    )
    penalty: float = Field(0.0, ge=0, title="Length penalty", description="Reward taken away per token of distance to the target length.")
    target: int = Field(0, ge=0, title="Target length", description="Response tokens without penalty.")
    when: Literal["training", "scoring", "both"] = Field(
        "both", title="Apply in", description="training: the loss sees the changed reward, scores are plain. scoring: the other way round."
    )

    @property
    def changes_scores(self) -> bool:
        """Whether length changes the reported rewards."""
        return self.when != "training" and (self.divide is not None or self.penalty > 0)
