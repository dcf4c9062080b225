using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A small convolutional classifier: twice 3x3 convolution, ReLU and 2x2 max-pooling (32, then 64 channels), then a hidden layer of 128.
/// Parameters <c>conv1</c>, <c>conv2</c>, <c>fc1</c>, <c>fc2</c>.
/// </summary>
public sealed class ConvNet : Module
{
    private readonly Conv2d _conv1, _conv2;
    private readonly MaxPool2d _pool;
    private readonly Linear _fc1, _fc2;

    /// <param name="channels">Of the images.</param>
    /// <param name="height">Of the images, at least 4.</param>
    /// <param name="width">Of the images, at least 4.</param>
    /// <param name="classCount">Logits.</param>
    public ConvNet(int channels, int height, int width, int classCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 4);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 4);
        _conv1 = Register("conv1", new Conv2d(channels, 32, 3, padding: 1, activation: Activation.Relu));
        _conv2 = Register("conv2", new Conv2d(32, 64, 3, padding: 1, activation: Activation.Relu));
        _pool = Register("pool", new MaxPool2d(2));
        _fc1 = Register("fc1", new Linear(64 * (height / 4) * (width / 4), 128, Activation.Relu));
        _fc2 = Register("fc2", new Linear(128, classCount));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable first = Convolve(_conv1, input);
        Variable second = Convolve(_conv2, first);
        first.Release();
        Variable features = ReshapeFunction.Flatten(second);
        second.Release();
        Variable hidden = _fc1.Forward(features);
        features.Release();
        Variable logits = _fc2.Forward(hidden);
        hidden.Release();
        return logits;
    }

    private Variable Convolve(Conv2d convolution, Variable input)
    {
        Variable activated = convolution.Forward(input);
        Variable pooled = _pool.Forward(activated);
        activated.Release();
        return pooled;
    }
}
