using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The residual network of He et al. 2015 (arXiv 1512.03385, section 4.2) for small images: depth 6n + 2, three stages of n blocks with 16,
/// 32 and 64 channels, the second and third at half the size. Where a block changes the shape, its shortcut is a 1x1 convolution with
/// batch norm (the paper's option B), as in torchvision's networks and with their names. Any image of 4x4 or more with any number of channels.
/// </summary>
public sealed class ResNet : Module
{
    private readonly Conv2d _conv1;
    private readonly BatchNormModule _bn1;
    private readonly Sequential[] _stages;
    private readonly GlobalAveragePool _pool;
    private readonly Linear _fc;

    /// <param name="depth">20, 32, 44, 56, 110, ...: 6n + 2.</param>
    /// <param name="channels">Of the images.</param>
    /// <param name="classCount">Logits.</param>
    /// <exception cref="ArgumentException">No n gives that depth.</exception>
    public ResNet(int depth, int channels, int classCount)
    {
        if (depth < 8 || (depth - 2) % 6 != 0)
            throw new ArgumentException($"a ResNet for small images has 6n + 2 layers (8, 14, 20, 32, 44, 56, 110, ...), found {depth}", nameof(depth));
        int blockCount = (depth - 2) / 6;
        _conv1 = Register("conv1", new Conv2d(channels, 16, 3, padding: 1, hasBias: false, initializer: Initializer.HeNormal));
        _bn1 = Register("bn1", new BatchNormModule(16));
        _stages = new Sequential[3];
        for (int i = 0; i < _stages.Length; i++)
            _stages[i] = Register($"layer{(i + 1).ToString(CultureInfo.InvariantCulture)}", Stage(i == 0 ? 16 : 8 << i, 16 << i, blockCount));
        _pool = Register("avgpool", new GlobalAveragePool());
        _fc = Register("fc", new Linear(64, classCount));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable current = ResidualBlock.Normalise(_conv1, _bn1, input, Activation.Relu);
        foreach (Sequential stage in _stages) current = Next(stage, current);
        current = Next(_pool, current);
        return Next(_fc, current);
    }

    private static Variable Next(Module module, Variable current)
    {
        Variable next = module.Forward(current);
        current.Release();
        return next;
    }

    private static Sequential Stage(int inputChannels, int outputChannels, int blockCount) =>
        new([.. Enumerable.Range(0, blockCount).Select(i =>
            new ResidualBlock(i == 0 ? inputChannels : outputChannels, outputChannels, stride: i == 0 && inputChannels != outputChannels ? 2 : 1))]);
}
