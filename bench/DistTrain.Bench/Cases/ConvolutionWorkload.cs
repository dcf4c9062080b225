using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>One pass of a 2-D convolution with bias, square kernels, overwriting. Work: 2 · N · O · OH · OW · C · KH · KW operations a pass.</summary>
public sealed class ConvolutionWorkload : Workload
{
    private readonly Pass _pass;
    private readonly Convolution2dOptions _options;
    private readonly Tensor _input, _weight, _bias, _output;

    private ConvolutionWorkload(ComputeDevice device, Pass pass, Size size)
        : base(device)
    {
        _pass = pass;
        _options = size.Options;
        _input = Random(size.InputShape);
        _weight = Random(size.WeightShape);
        _bias = Random(new Shape(size.OutputChannels));
        _output = Random(size.OutputShape);
    }

    private enum Pass
    {
        Forward,
        BackwardInput,
        BackwardWeight,
    }

    /// <summary>The layers of a small network for 28x28 images, and of ResNet-18.</summary>
    public static IEnumerable<BenchCase> Cases()
    {
        Size[] sizes =
        [
            new("convnet 1", 128, 1, 28, 32, 3, 1, 1),
            new("convnet 2", 128, 32, 14, 64, 3, 1, 1),
            new("resnet stem", 8, 3, 224, 64, 7, 2, 3),
            new("resnet 56", 8, 64, 56, 64, 3, 1, 1),
            new("resnet 28", 8, 128, 28, 128, 3, 1, 1),
            new("resnet 14", 8, 256, 14, 256, 3, 1, 1),
            new("resnet 7", 8, 512, 7, 512, 3, 1, 1),
            new("resnet shortcut", 8, 64, 56, 128, 1, 2, 0),
        ];
        return sizes.SelectMany(size => Enum.GetValues<Pass>(), Case);
    }

    /// <inheritdoc/>
    public override void Run()
    {
        // The backward passes overwrite what the forward pass reads; only the time counts here.
        switch (_pass)
        {
            case Pass.Forward: Convolution2d.Forward(Stream, _output, _input, _weight, _bias, _options); break;
            case Pass.BackwardInput: Convolution2d.BackwardInput(Stream, _input, _output, _weight, _options); break;
            default: Convolution2d.BackwardWeight(Stream, _weight, _bias, _output, _input, _options); break;
        }
    }

    private static BenchCase Case(Size size, Pass pass)
    {
        string verb = pass switch
        {
            Pass.Forward => "forward",
            Pass.BackwardInput => "backward-input",
            _ => "backward-weight",
        };
        double work = 2.0 * size.OutputShape.ElementCount * size.InputChannels * size.Kernel * size.Kernel;
        string question = string.Create(CultureInfo.InvariantCulture,
            $"convolution {verb} {size.Batch} {size.InputChannels} {size.Extent} {size.Extent} {size.OutputChannels} {size.Kernel} {size.Kernel} {size.Stride} {size.Padding}");
        return new BenchCase("convolution", $"{size} {verb}", Measure.GigaflopsPerSecond, work, question,
            device => new ConvolutionWorkload(device, pass, size), Limit.Arithmetic);
    }

    private sealed record Size(string Name, int Batch, int InputChannels, int Extent, int OutputChannels, int Kernel, int Stride, int Padding)
    {
        public Convolution2dOptions Options => new(Stride, Stride, Padding, Padding);

        public Shape InputShape => new(Batch, InputChannels, Extent, Extent);

        public Shape WeightShape => new(OutputChannels, InputChannels, Kernel, Kernel);

        public Shape OutputShape => Options.OutputShape(InputShape, WeightShape);

        public override string ToString() => $"{Name} ({Batch}x{InputChannels}x{Extent}x{Extent} to {OutputChannels}, {Kernel}x{Kernel}/{Stride})";
    }
}
