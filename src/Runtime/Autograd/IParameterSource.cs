using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Where the values of parameters come from that are not kept whole.</summary>
internal interface IParameterSource
{
    /// <summary>The value, valid until values of other parameters have been asked for; the source owns it.</summary>
    /// <exception cref="InvalidOperationException">No pass is under way.</exception>
    Tensor ValueOf(Parameter parameter);
}
