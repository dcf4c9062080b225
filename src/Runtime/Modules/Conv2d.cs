using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>2-D convolution of NCHW inputs. Parameters <c>weight</c> OIHW and <c>bias</c> [O], drawn as PyTorch draws them.</summary>
public sealed class Conv2d : Module
{
    private readonly Convolution2dOptions _options;
    private readonly Activation _activation;

    /// <param name="inputChannels">Channels in.</param>
    /// <param name="outputChannels">Channels out.</param>
    /// <param name="kernelSize">Height and width of the kernel.</param>
    /// <param name="stride">Down and right.</param>
    /// <param name="padding">Zeros on all four sides.</param>
    /// <param name="groups">Parts that the channels are cut into.</param>
    /// <param name="activation">Applied at the end, fused.</param>
    /// <param name="hasBias">False leaves the bias out, as before a batch norm.</param>
    /// <param name="initializer">Draws the weight; PyTorch's default if null.</param>
    public Conv2d(
        int inputChannels, int outputChannels, int kernelSize, int stride = 1, int padding = 0, int groups = 1,
        Activation activation = Activation.None, bool hasBias = true, Initializer? initializer = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inputChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outputChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(kernelSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        if (inputChannels % groups != 0 || outputChannels % groups != 0)
            throw new ArgumentException($"{inputChannels} input and {outputChannels} output channels can't be cut into {groups} groups", nameof(groups));
        _options = new Convolution2dOptions(stride, stride, padding, padding, groups);
        _activation = activation;
        Weight = Register("weight", new Shape(outputChannels, inputChannels / groups, kernelSize, kernelSize), initializer ?? Initializer.Default);
        if (hasBias) Bias = Register("bias", new Shape(outputChannels), Initializer.DefaultBias(inputChannels / groups * kernelSize * kernelSize));
    }

    /// <summary>OIHW.</summary>
    public Parameter Weight { get; }

    /// <summary>[O], or null.</summary>
    public Parameter? Bias { get; }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => Convolution2dFunction.Apply(input, Weight, Bias, _options, _activation);
}
