using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class Pooling2dTests(TestDevice which) : OperationTests(which)
{
    private const float Big = float.PositiveInfinity, Nan = float.NaN;

    /// <summary>batch, channels, height, width; kernel, stride, padding for rows and columns.</summary>
    public static TheoryData<int[], Pooling2dOptions> Cases => new()
    {
        { [2, 3, 4, 6], new(2, 2, 2, 2) },
        { [2, 3, 5, 7], new(2, 2, 2, 2) },
        { [1, 2, 28, 28], new(2, 2, 2, 2) },
        { [2, 2, 14, 14], new(2, 2, 2, 2) },
        { [1, 1, 5, 19], new(2, 2, 2, 2) },
        { [1, 1, 3, 70], new(2, 2, 2, 2) },
        { [1, 1, 2, 129], new(2, 2, 2, 2) },
        { [2, 2, 7, 9], new(3, 3, 2, 2, 1, 1) },
        { [2, 2, 7, 9], new(3, 3, 1, 1, 1, 1) },
        { [1, 2, 8, 5], new(2, 3, 1, 2, 1, 0) },
        { [1, 2, 9, 9], new(2, 2, 3, 3) },
        { [2, 3, 8, 8], new(8, 8, 8, 8) },
        { [3, 1, 1, 1], new(1, 1, 1, 1) },
        { [1, 1, 6, 5], new(5, 4, 2, 1, 2, 2) },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Maxima_places_and_gradients_match_plain_loops(int[] extents, Pooling2dOptions options)
    {
        Shape shape = new(extents), pooled = options.OutputShape(shape);
        // Few distinct values, so that most windows hold ties.
        float[] input = [.. Numbers.Uniform(shape, 5, 3f).Select(value => MathF.Round(value))], dOutput = Numbers.Uniform(pooled, 6);
        Tensor output = Output(pooled), indices = Zeros(pooled, DType.I32), dInput = Output(shape);

        Pooling2d.MaxForward(Stream, output, indices, Make(shape, input), options);
        Pooling2d.MaxBackward(Stream, dInput, Make(pooled, dOutput), indices, options);

        int[] places = [.. Windows(shape, options).Select(window => window.MaxBy(cell => input[cell]))];
        double[] gradient = new double[input.Length];
        for (int i = 0; i < places.Length; i++) gradient[places[i]] += dOutput[i];
        int plane = extents[2] * extents[3];
        Assert.Equal(places.Select(cell => input[cell]), Read(output));
        Assert.Equal(places.Select(cell => cell % plane), indices.ToArray<int>(Stream));
        Numbers.AssertClose(gradient, Read(dInput));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Averages_and_gradients_match_plain_loops(int[] extents, Pooling2dOptions options)
    {
        Shape shape = new(extents), pooled = options.OutputShape(shape);
        float[] input = Numbers.Uniform(shape, 5), dOutput = Numbers.Uniform(pooled, 6);
        Tensor output = Output(pooled), dInput = Output(shape);

        Pooling2d.AverageForward(Stream, output, Make(shape, input), options);
        Pooling2d.AverageBackward(Stream, dInput, Make(pooled, dOutput), options);

        List<int>[] windows = [.. Windows(shape, options)];
        double[] gradient = new double[input.Length];
        for (int i = 0; i < windows.Length; i++)
        {
            foreach (int cell in windows[i]) gradient[cell] += (double)dOutput[i] / windows[i].Count;
        }
        Numbers.AssertClose([.. windows.Select(window => window.Average(cell => (double)input[cell]))], Read(output));
        Numbers.AssertClose(gradient, Read(dInput));
    }

    [Fact]
    public void A_not_a_number_wins_and_the_first_one_is_named()
    {
        Shape shape = new(1, 1, 4, 4);
        Tensor input = Make(shape,
            1f, Nan, 9f, 8f,
            Nan, 2f, 7f, Big,
            -Big, -Big, 0f, -0f,
            -Big, -Big, -0f, Nan);
        Tensor output = Output(new Shape(1, 1, 2, 2)), indices = Zeros(new Shape(1, 1, 2, 2), DType.I32);

        Pooling2d.MaxForward(Stream, output, indices, input, new Pooling2dOptions(2, 2, 2, 2));

        Assert.Equal([Nan, Big, -Big, Nan], Read(output));
        Assert.Equal([1, 7, 8, 15], indices.ToArray<int>(Stream));
    }

    [Theory]
    [InlineData(2, 0)]
    [InlineData(3, 1)]
    public void Every_place_in_the_window_can_win_in_every_column(int kernel, int padding)
    {
        Pooling2dOptions options = new(kernel, kernel, 2, 2, padding, padding);
        Shape shape = new(1, kernel * kernel, 2 * kernel, 46), pooled = options.OutputShape(shape);
        // In plane p the cell p of each window is the largest, by a value that differs from cell to cell.
        float[] input = new float[shape.ElementCount];
        for (int i = 0; i < input.Length; i++)
        {
            int w = i % 46, h = i / 46 % (2 * kernel), wanted = i / 46 / (2 * kernel);
            int place = ((h + padding) % 2 * kernel) + ((w + padding) % 2);
            input[i] = (i % 97) + (place == wanted ? 1000f : 0f);
        }
        Tensor output = Output(pooled), indices = Zeros(pooled, DType.I32);

        Pooling2d.MaxForward(Stream, output, indices, Make(shape, input), options);

        int[] places = [.. Windows(shape, options).Select(window => window.MaxBy(cell => input[cell]))];
        Assert.Equal(places.Select(cell => input[cell]), Read(output));
        Assert.Equal(places.Select(cell => cell % (2 * kernel * 46)), indices.ToArray<int>(Stream));
    }

    [Fact]
    public void Padding_never_wins_a_maximum_and_never_counts_in_an_average()
    {
        Shape shape = new(1, 1, 2, 2);
        Tensor input = Make(shape, -4f, -3f, -2f, -8f), maxima = Output(shape), averages = Output(shape), indices = Zeros(shape, DType.I32);
        Pooling2dOptions options = new(2, 2, 2, 2, 1, 1);

        Pooling2d.MaxForward(Stream, maxima, indices, input, options);
        Pooling2d.AverageForward(Stream, averages, input, options);

        Assert.Equal([-4f, -3f, -2f, -8f], Read(maxima));
        Assert.Equal([0, 1, 2, 3], indices.ToArray<int>(Stream));
        Assert.Equal([-4f, -3f, -2f, -8f], Read(averages));
    }

    [Fact]
    public void An_empty_batch_is_left_empty()
    {
        Tensor input = Zeros(new Shape(0, 3, 4, 4)), output = Zeros(new Shape(0, 3, 2, 2)), indices = Zeros(new Shape(0, 3, 2, 2), DType.I32);
        Pooling2dOptions options = new(2, 2, 2, 2);

        Pooling2d.MaxForward(Stream, output, indices, input, options);
        Pooling2d.MaxBackward(Stream, input, output, indices, options);
        Pooling2d.AverageForward(Stream, output, input, options);
        Pooling2d.AverageBackward(Stream, input, output, options);

        Assert.Empty(Read(output));
    }

    [Fact]
    public void An_index_outside_its_plane_is_an_error_on_the_cpu_naming_position_and_value()
    {
        if (Device is not CpuDevice) return;
        Shape pooled = new(1, 2, 1, 1);

        ArgumentException failure = Assert.Throws<ArgumentException>(() => Pooling2d.MaxBackward(
            Stream, Output(new Shape(1, 2, 2, 2)), Zeros(pooled), Make(pooled, 3, 4), new Pooling2dOptions(2, 2, 2, 2)));

        Assert.Equal("max pooling backward: indices[1] is 4, expected 0 to 3", failure.Message);
    }

    [Fact]
    public void Results_have_equal_bits_for_one_and_three_threads()
    {
        if (Device is not CpuDevice cpu) return;
        float[][] one = RunAll(cpu.InstructionSet, 1), three = RunAll(cpu.InstructionSet, 3);

        for (int i = 0; i < one.Length; i++) Numbers.AssertSameBits(one[i], three[i]);
    }

    [Theory]
    [InlineData("2,3,5", 2, 2, 0, "input [2, 3, 5] must have 4 dimensions: [batch, channels, height, width]")]
    [InlineData("2,3,5,5", 0, 2, 0, "the kernel is 0x0, expected at least 1x1")]
    [InlineData("2,3,5,5", 2, 0, 0, "strides are 0 and 0, expected at least 1")]
    [InlineData("2,3,5,5", 2, 2, -1, "paddings are -1 and -1, expected at least 0")]
    [InlineData("2,3,5,5", 3, 2, 2, "paddings 2 and 2 are more than half the 3x3 kernel")]
    [InlineData("2,3,5,5", 8, 2, 1, "the 8x8 kernel is larger than the padded input of 7x7")]
    public void Sizes_that_do_not_fit_are_refused_naming_shapes_and_rule(string input, int kernel, int stride, int padding, string message)
    {
        Pooling2dOptions options = new(kernel, kernel, stride, stride, padding, padding);
        Tensor wrong = Zeros(new Shape([.. input.Split(',').Select(int.Parse)])), output = Zeros(new Shape(2, 3, 2, 2));
        Tensor indices = Zeros(new Shape(2, 3, 2, 2), DType.I32);

        Assert.Equal($"max pooling: {message}",
            Assert.Throws<ShapeException>(() => Pooling2d.MaxForward(Stream, output, indices, wrong, options)).Message);
        Assert.Equal($"max pooling backward: {message}",
            Assert.Throws<ShapeException>(() => Pooling2d.MaxBackward(Stream, wrong, output, indices, options)).Message);
        Assert.Equal($"average pooling: {message}",
            Assert.Throws<ShapeException>(() => Pooling2d.AverageForward(Stream, output, wrong, options)).Message);
        Assert.Equal($"average pooling backward: {message}",
            Assert.Throws<ShapeException>(() => Pooling2d.AverageBackward(Stream, wrong, output, options)).Message);
    }

    [Fact]
    public void Outputs_and_indices_of_other_shapes_or_types_are_refused()
    {
        Tensor input = Zeros(new Shape(1, 1, 4, 4)), output = Zeros(new Shape(1, 1, 2, 2)), wrong = Zeros(new Shape(1, 1, 3, 3));
        Pooling2dOptions options = new(2, 2, 2, 2);

        Assert.Equal("max pooling: output has shape [1, 1, 3, 3], expected [1, 1, 2, 2]",
            Assert.Throws<ShapeException>(() => Pooling2d.MaxForward(Stream, wrong, output, input, options)).Message);
        Assert.Equal("max pooling: indices is F32 [1, 1, 2, 2], expected I32",
            Assert.Throws<ShapeException>(() => Pooling2d.MaxForward(Stream, output, output, input, options)).Message);
        Assert.Equal("average pooling backward: dOutput has shape [1, 1, 3, 3], expected [1, 1, 2, 2]",
            Assert.Throws<ShapeException>(() => Pooling2d.AverageBackward(Stream, input, wrong, options)).Message);
    }

    /// <summary>The cells (indices into the whole input) of each output's window, row-major.</summary>
    private static IEnumerable<List<int>> Windows(Shape shape, Pooling2dOptions options)
    {
        Shape pooled = options.OutputShape(shape);
        for (int plane = 0; plane < shape[0] * shape[1]; plane++)
        for (int y = 0; y < pooled[2]; y++)
        for (int x = 0; x < pooled[3]; x++)
        {
            List<int> cells = [];
            for (int u = 0; u < options.KernelHeight; u++)
            for (int v = 0; v < options.KernelWidth; v++)
            {
                int h = (y * options.StrideHeight) + u - options.PaddingHeight, w = (x * options.StrideWidth) + v - options.PaddingWidth;
                if (h >= 0 && h < shape[2] && w >= 0 && w < shape[3]) cells.Add((((plane * shape[2]) + h) * shape[3]) + w);
            }
            yield return cells;
        }
    }

    private static float[][] RunAll(InstructionSet set, int threadCount)
    {
        Shape shape = new(3, 4, 33, 37);
        Pooling2dOptions options = new(3, 3, 2, 2, 1, 1);
        Shape pooled = options.OutputShape(shape);
        using CpuDevice device = new("cpu", set, threadCount);
        ExecutionStream stream = device.DefaultStream;
        using Tensor input = Tensor.From(stream, Numbers.Uniform(shape, 1), shape), dOutput = Tensor.From(stream, Numbers.Uniform(pooled, 2), pooled);
        using Tensor output = Tensor.Allocate(stream, pooled), indices = Tensor.Allocate(stream, pooled, DType.I32);
        using Tensor averages = Tensor.Allocate(stream, pooled), dMax = Tensor.Allocate(stream, shape), dAverage = Tensor.Allocate(stream, shape);
        Pooling2d.MaxForward(stream, output, indices, input, options);
        Pooling2d.MaxBackward(stream, dMax, dOutput, indices, options);
        Pooling2d.AverageForward(stream, averages, input, options);
        Pooling2d.AverageBackward(stream, dAverage, dOutput, options);
        return [.. new[] { output, dMax, averages, dAverage }.Select(tensor => tensor.ToArray<float>(stream))];
    }
}

public sealed class Pooling2dOnReference() : Pooling2dTests(TestDevice.Reference);
public sealed class Pooling2dOnVector128() : Pooling2dTests(TestDevice.Vector128);
public sealed class Pooling2dOnAvx2() : Pooling2dTests(TestDevice.Avx2);
public sealed class Pooling2dOnAvx512() : Pooling2dTests(TestDevice.Avx512);
public sealed class Pooling2dOnPocl() : Pooling2dTests(TestDevice.OpenClPocl);
public sealed class Pooling2dOnEmulator() : Pooling2dTests(TestDevice.Emulator);
public sealed class Pooling2dOnCuda() : Pooling2dTests(TestDevice.Cuda);
