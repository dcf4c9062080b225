using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class ModuleTests() : OperationTests(TestDevice.Vector128)
{
    [Fact]
    public void Parameters_have_the_names_and_shapes_that_PyTorch_gives_them()
    {
        using ConvNet convNet = new(1, 28, 28, 10);
        using ResNet resNet = new(8, 3, 10);
        using TransformerEncoderLayer encoder = new(256, 8);

        Assert.Equal(
            ["conv1.weight [32, 1, 3, 3]", "conv1.bias [32]", "conv2.weight [64, 32, 3, 3]", "conv2.bias [64]",
                "fc1.weight [128, 3136]", "fc1.bias [128]", "fc2.weight [10, 128]", "fc2.bias [10]"],
            convNet.Parameters().Select(parameter => parameter.ToString()));
        Assert.Equal(
            ["layer2.0.conv1.weight [32, 16, 3, 3]", "layer2.0.bn1.weight [32]", "layer2.0.bn1.bias [32]", "layer2.0.conv2.weight [32, 32, 3, 3]", "layer2.0.bn2.weight [32]",
                "layer2.0.bn2.bias [32]", "layer2.0.downsample.0.weight [32, 16, 1, 1]", "layer2.0.downsample.1.weight [32]", "layer2.0.downsample.1.bias [32]"],
            resNet.Parameters().Where(parameter => parameter.Name.StartsWith("layer2", StringComparison.Ordinal)).Select(parameter => parameter.ToString()));
        Assert.Equal(["bn1.running_mean [16]", "bn1.running_var [16]"], resNet.StateTensors().Take(2).Select(state => state.ToString()));
        Assert.Equal(
            ["self_attn.in_proj_weight [768, 256]", "self_attn.in_proj_bias [768]", "self_attn.out_proj.weight [256, 256]", "self_attn.out_proj.bias [256]"],
            encoder.Parameters().Take(4).Select(parameter => parameter.ToString()));
    }

    [Theory]
    [InlineData(20, 272_474)]
    [InlineData(56, 855_770)]
    public void ResNets_have_the_known_number_of_parameters(int depth, long expected)
    {
        // The paper's networks (0.27 and 0.85 million) with projections and their batch norms: 2,752 more than with its option A.
        using ResNet resNet = new(depth, 3, 10);

        Assert.Equal(expected, resNet.ParameterCount);
    }

    [Fact]
    public void A_module_without_memory_says_to_initialise_it()
    {
        using Mlp model = new(4, 3);

        InvalidOperationException failure = Assert.Throws<InvalidOperationException>(() => model.Parameters()[0].Value);

        Assert.StartsWith("parameter 'fc1.weight' has no value; call Initialize on the root module first.", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void State_survives_saving_and_loading()
    {
        using ResNet source = new(8, 1, 4), destination = new(8, 1, 4);
        source.Initialize(Stream, 1);
        destination.Initialize(Stream, 2);
        Assert.NotEqual(Read(source.SaveState()["fc.weight"]), Read(destination.SaveState()["fc.weight"]));

        destination.LoadState(Stream, source.SaveState());

        Assert.Equal(source.SaveState().Keys, destination.SaveState().Keys);
        foreach ((string name, Tensor tensor) in source.SaveState()) Numbers.AssertSameBits(Read(tensor), Read(destination.SaveState()[name]));
    }

    [Fact]
    public void State_that_does_not_fit_is_refused_naming_every_disagreement_and_changing_nothing()
    {
        using Mlp model = new(4, 3, 2);
        model.Initialize(Stream, 1);
        float[] before = Read(model.Parameters()[0].Value);
        Dictionary<string, Tensor> state = new()
        {
            ["fc1.weight"] = Zeros(new Shape(3, 4)),
            ["fc1.bias"] = Zeros(new Shape(4)),
            ["fc3.weight"] = Zeros(new Shape(1)),
            ["bn.num_batches_tracked"] = Zeros(default),
        };

        StateMismatchException failure = Assert.Throws<StateMismatchException>(() => model.LoadState(Stream, state));

        Assert.Equal("the saved state does not fit: 2 missing (fc2.weight, fc2.bias); 1 unexpected (fc3.weight); 1 of another shape (fc1.bias is F32 [4], expected F32 [3])", failure.Message);
        Numbers.AssertSameBits(before, Read(model.Parameters()[0].Value));
    }

    [Fact]
    public void Loading_marks_parameters_as_changed()
    {
        using Mlp model = new(4, 3);
        model.Initialize(Stream, 1);
        long version = model.Parameters()[0].Version;

        model.LoadState(Stream, model.SaveState());

        Assert.Equal(version + 1, model.Parameters()[0].Version);
    }

    [Fact]
    public void First_values_depend_on_seed_and_name_only()
    {
        using Mlp first = new(40, 30, 30), second = new(40, 30, 30);
        using Sequential nested = new([("head", new Mlp(40, 30, 30))]);
        using CpuDevice other = new("cpu", InstructionSet.Reference, 1);
        first.Initialize(Stream, 1);
        second.Initialize(other.DefaultStream, 1);
        nested.Initialize(Stream, 1);

        Numbers.AssertSameBits(Read(first.Parameters()[0].Value), second.Parameters()[0].Value.ToArray<float>(other.DefaultStream));
        Assert.NotEqual(Read(first.Parameters()[0].Value), Read(nested.Parameters()[0].Value));
        Assert.NotEqual(Read(first.Parameters()[0].Value)[..100], Read(first.Parameters()[2].Value)[..100]);
    }

    public static TheoryData<string, double, double> Initializers => new()
    {
        // Name, expected bound (0: none), expected standard deviation, for a weight [64, 16, 3, 3]: fan-in 144, fan-out 576.
        { nameof(Initializer.Default), 1 / Math.Sqrt(144), 1 / Math.Sqrt(144 * 3) },
        { nameof(Initializer.HeUniform), Math.Sqrt(6.0 / 144), Math.Sqrt(2.0 / 144) },
        { nameof(Initializer.HeNormal), 0, Math.Sqrt(2.0 / 144) },
        { nameof(Initializer.XavierUniform), Math.Sqrt(6.0 / 720), Math.Sqrt(2.0 / 720) },
        { nameof(Initializer.XavierNormal), 0, Math.Sqrt(2.0 / 720) },
    };

    [Theory]
    [MemberData(nameof(Initializers))]
    public void Initialisers_have_the_bounds_and_deviations_of_their_papers(string name, double bound, double deviation)
    {
        Initializer initializer = (Initializer)typeof(Initializer).GetProperty(name)!.GetValue(null)!;

        float[] values = Read(Track(initializer.Create(Stream, new Shape(64, 16, 3, 3), 7, "conv.weight")));

        Assert.InRange(values.Average(), -0.05 * deviation, 0.05 * deviation);
        Assert.InRange(Math.Sqrt(values.Average(x => (double)x * x)), 0.97 * deviation, 1.03 * deviation);
        if (bound > 0) Assert.InRange(values.Max(MathF.Abs), 0.99 * bound, bound * 1.000001);
    }

    [Fact]
    public void A_module_has_one_place_and_every_part_one_name()
    {
        using Linear layer = new(2, 2);
        using Sequential owner = new([layer]);

        Assert.Contains("every module has one place", Assert.Throws<ArgumentException>(() => new Sequential([layer])).Message);
        Assert.Contains("has a part named 'a' already", Assert.Throws<ArgumentException>(() => new Sequential([("a", new Flatten()), ("a", new Flatten())])).Message);
        Assert.Contains("no dots", Assert.Throws<ArgumentException>(() => new Sequential([("a.b", new Flatten())])).Message);
    }

    [Fact]
    public void Dropout_depends_on_step_sample_and_path_and_is_off_in_evaluation()
    {
        using Sequential model = new([new DropoutModule(0.5f), new DropoutModule(0.5f)]);
        Tensor ones = Make(new Shape(4, 64), Enumerable.Repeat(1f, 256).ToArray()), half = Make(new Shape(2, 64), Enumerable.Repeat(1f, 128).ToArray());

        Assert.Equal(Run(ones, 0, 1, 0), Run(ones, 0, 1, 0));
        Assert.NotEqual(Run(ones, 0, 1, 0), Run(ones, 1, 1, 0));
        Assert.NotEqual(Run(ones, 0, 1, 0), Run(ones, 0, 2, 0));
        Assert.Equal(Run(ones, 0, 1, 0)[128..], Run(half, 0, 1, 2));
        using GradientTape evaluation = new(Stream, TapeMode.Evaluation);
        Assert.Equal(Read(ones), Read(model.Forward(evaluation.Input(ones)).Value));

        float[] Run(Tensor input, int layer, ulong step, long firstSample)
        {
            using GradientTape tape = new(Stream, TapeMode.Training, new StepContext(9, step, firstSample));
            return Read(model.Children[layer].Module.Forward(tape.Input(input)).Value);
        }
    }

    [Fact]
    public void The_catalog_names_the_nearest_model_to_an_unknown_one()
    {
        ArgumentException failure = Assert.Throws<ArgumentException>(() => ModelCatalog.Create("convnt", new Shape(1, 8, 8), 10));

        Assert.Equal("unknown model 'convnt'; models are convnet, mlp, resnet8, resnet20, resnet32, resnet44, resnet56. Did you mean 'convnet'? (Parameter 'name')", failure.Message);
        Assert.Contains("6n + 2", Assert.Throws<ArgumentException>(() => ModelCatalog.Create("resnet21", new Shape(1, 8, 8), 10)).Message);
        Assert.Contains("[channels, height, width]", Assert.Throws<ArgumentException>(() => ModelCatalog.Create("mlp", new Shape(64), 10)).Message);
    }

    [Fact]
    public void Every_model_of_the_catalog_takes_grey_and_colour_images_of_several_sizes()
    {
        foreach ((string name, Shape shape) in ((string, Shape)[])[("mlp", new(3, 8, 8)), ("convnet", new(1, 28, 28)), ("convnet", new(3, 9, 7)), ("resnet8", new(1, 28, 28)), ("resnet8", new(3, 32, 32))])
        {
            using Module model = ModelCatalog.Create(name, shape, 7);
            model.Initialize(Stream, 1);
            using GradientTape tape = new(Stream, TapeMode.Evaluation);
            using Tensor input = Tensor.Zeros(Stream, new Shape([2, .. shape.Dimensions]));

            Assert.Equal(new Shape(2, 7), model.Forward(tape.Input(input)).Shape);
        }
    }
}
