namespace DistTrain.Kernels;

/// <summary>A function applied to each element after a linear map.</summary>
public enum Activation
{
    /// <summary>x</summary>
    None,

    /// <summary>max(0, x)</summary>
    Relu,

    /// <summary>x Φ(x) with the normal distribution's Φ, by the error function (Hendrycks and Gimpel 2016, arXiv 1606.08415).</summary>
    Gelu,

    /// <summary>x / (1 + e^-x)</summary>
    Silu,

    /// <summary>tanh x</summary>
    Tanh,

    /// <summary>1 / (1 + e^-x)</summary>
    Sigmoid,

    /// <summary>0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))): the usual approximation of <see cref="Gelu"/>.</summary>
    GeluTanh,
}
