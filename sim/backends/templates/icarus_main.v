// Streams a job through the chip, as driver.h does: +job=FOLDER [+waves=FILE]
`timescale 1ns / 1ps

module testbench;
  reg clk = 0, rst = 1, in_valid = 0;
  reg [@LINK_BITS@:0] in_payload = 0;
  wire in_ready, out_valid;
  wire [@LINK_BITS@-1:0] out_payload;
  wire [31:0] fault;
  wire [@BUSY_BITS@-1:0] busy;

  @TOP@ chip (
    .clk(clk), .rst(rst),
    .host_in__valid(in_valid), .host_in__payload(in_payload), .host_in__ready(in_ready),
    .host_out__valid(out_valid), .host_out__payload(out_payload), .host_out__ready(1'b1),
    .busy(busy), .fault(fault)
  );

  reg [8*1024-1:0] folder, waves;
  integer flits, result, unit, status;
  integer config_flits, frame_flits, frames, outputs, idle_limit;
  integer sent, next_frame, cycle, came, moved, total, wanted;
  integer busy_cycles [0:@BUSY_BITS@-1];
  reg started, running;

  task edge_of_clock;
    begin
      #5 clk = 1;
      #5 clk = 0;
    end
  endtask

  initial begin
    if (!$value$plusargs("job=%s", folder)) $finish;
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, chip);
    end
    flits = $fopen({folder, "/job.txt"}, "r");
    status = $fscanf(flits, "%d %d %d %d %d", config_flits, frame_flits, frames, outputs, idle_limit);
    $fclose(flits);
    flits = $fopen({folder, "/flits.hex"}, "r");
    result = $fopen({folder, "/result.txt"}, "w");
    for (unit = 0; unit < @BUSY_BITS@; unit = unit + 1) busy_cycles[unit] = 0;
    repeat (@RESET_CYCLES@) edge_of_clock;
    rst = 0;
    total = config_flits + frame_flits * frames;
    wanted = outputs * frames;
    next_frame = config_flits;
    sent = 0; cycle = 0; came = 0; moved = 0; started = 0; running = 1;
    if (total > 0) status = $fscanf(flits, "%h", in_payload);
    while (running) begin
      in_valid = sent < total;
      #1;
      if (in_valid && in_ready) begin
        if (sent == next_frame) begin
          $fdisplay(result, "i %0d", cycle);
          next_frame = next_frame + frame_flits;
          started = 1;
        end
        moved = cycle;
      end
      if (started && |busy)
        for (unit = 0; unit < @BUSY_BITS@; unit = unit + 1)
          busy_cycles[unit] = busy_cycles[unit] + busy[unit];
      if (fault[0]) begin
        $fdisplay(result, "e %0d %0d", cycle, fault);
        running = 0;
      end
      if (out_valid) begin
        $fdisplay(result, "o %0d %0d", cycle, out_payload);
        moved = cycle;
        came = came + 1;
        if (came % outputs == 0) begin
          $display("p %0d", came / outputs);
          $fflush;
        end
        if (came == wanted) running = 0;
      end else if (cycle - moved >= idle_limit) begin
        $fdisplay(result, "h %0d", cycle);
        running = 0;
      end
      if (in_valid && in_ready) begin
        // The next word only after the edge that takes this one.
        edge_of_clock;
        sent = sent + 1;
        if (sent < total) status = $fscanf(flits, "%h", in_payload);
        else in_payload = 0;
      end else
        edge_of_clock;
      cycle = cycle + 1;
    end
    for (unit = 0; unit < @BUSY_BITS@; unit = unit + 1) $fdisplay(result, "b %0d", busy_cycles[unit]);
    $fdisplay(result, "c %0d", cycle);
    $fclose(result);
    $finish(0);
  end
endmodule
