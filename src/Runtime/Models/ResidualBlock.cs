using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// ReLU(x' + BN(conv3x3(ReLU(BN(conv3x3(x)))))), where x' is x, or its 1x1 projection with batch norm if the shape changes. Children <c>conv1</c>,
/// <c>bn1</c>, <c>conv2</c>, <c>bn2</c> and, with a projection, <c>downsample.0</c> and <c>downsample.1</c>.
/// </summary>
public sealed class ResidualBlock : Module
{
    private readonly Conv2d _conv1, _conv2;
    private readonly BatchNormModule _bn1, _bn2;
    private readonly Sequential? _downsample;

    /// <param name="inputChannels">Channels in.</param>
    /// <param name="outputChannels">Channels out.</param>
    /// <param name="stride">Of the first convolution.</param>
    public ResidualBlock(int inputChannels, int outputChannels, int stride = 1)
    {
        _conv1 = Register("conv1", Convolution(inputChannels, outputChannels, 3, stride));
        _bn1 = Register("bn1", new BatchNormModule(outputChannels));
        _conv2 = Register("conv2", Convolution(outputChannels, outputChannels, 3, 1));
        _bn2 = Register("bn2", new BatchNormModule(outputChannels));
        if (stride != 1 || inputChannels != outputChannels)
            _downsample = Register("downsample", new Sequential([Convolution(inputChannels, outputChannels, 1, stride), new BatchNormModule(outputChannels)]));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable hidden = Normalise(_conv1, _bn1, input, Activation.Relu);
        Variable body = Normalise(_conv2, _bn2, hidden, Activation.None);
        hidden.Release();
        Variable shortcut = _downsample is null ? input : _downsample.Forward(input);
        Variable sum = AddFunction.Apply(body, shortcut);
        body.Release();
        if (shortcut != input) shortcut.Release();
        Variable output = ActivationFunction.Apply(sum, Activation.Relu);
        sum.Release();
        return output;
    }

    /// <summary>activation(norm(convolution(input))).</summary>
    internal static Variable Normalise(Conv2d convolution, BatchNormModule norm, Variable input, Activation activation)
    {
        Variable convolved = convolution.Forward(input);
        Variable normalised = norm.Forward(convolved);
        convolved.Release();
        Variable output = ActivationFunction.Apply(normalised, activation);
        if (output != normalised) normalised.Release();
        return output;
    }

    private static Conv2d Convolution(int inputChannels, int outputChannels, int kernelSize, int stride) =>
        new(inputChannels, outputChannels, kernelSize, stride, kernelSize / 2, hasBias: false, initializer: Initializer.HeNormal);
}
